# Results of R for tests/survival/test_incidence_model.py. Run from this folder: Rscript make_incidence.R > incidence.json
# A Cox model for each cause and the probabilities in state of survfit; curves by group are those of survfit on a factor.
# survfit of a multi-state coxph (survival 3.5-3) loses events at tied times: averaged over these patients it gives .085 at t = 4 where
# survfit of the patients has .120. Its results are therefore taken from untied times; for tied ones the Aalen-Johansen product is
# written out from basehaz of the two coxph models.
suppressMessages(library(survival))
num <- function(x) paste0("[", paste(formatC(as.numeric(x), digits = 17, format = "g"), collapse = ", "), "]")
obj <- function(l) paste0("{", paste(sprintf("\"%s\": %s", names(l), unlist(l)), collapse = ",\n "), "}")
d <- read.csv("cohort.csv"); d$id <- seq_len(nrow(d)); d$state <- factor(d$cause)
control <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 60)
d$apart <- d$time + rank(d$time, ties.method = "first") / 1e4
fit <- coxph(Surv(apart, state) ~ x1 + x2, d, id = id, control = control)
new <- data.frame(x1 = c(-1, 0, 1.5), x2 = c(.5, 0, -1)); times <- c(4, 8, 14)
p <- summary(survfit(fit, newdata = new), times = times)$pstate
tied <- lapply(1:2, function(k) coxph(Surv(time, cause == k) ~ x1 + x2, d, control = control))
product <- function(i, cause) {
  base <- lapply(tied, basehaz, centered = FALSE)
  jump <- sapply(1:2, function(k) diff(c(0, base[[k]]$hazard)) * exp(sum(coef(tied[[k]]) * unlist(new[i, ]))))
  alive <- exp(-cumsum(rowSums(jump))); before <- c(1, alive)[seq_along(alive)]; all <- rowSums(jump)
  risk <- cumsum(ifelse(all > 0, before * (1 - exp(-all)) * jump[, cause] / all, 0))
  risk[findInterval(times, base[[1]]$time)]
}
out <- list(tied_first = num(sapply(1:3, product, cause = 1)), tied_second = num(sapply(1:3, product, cause = 2)),
            tied_coef = num(sapply(tied, coef)), times = num(times), x1 = num(new$x1), x2 = num(new$x2), coef = num(coef(fit)),
            first = num(p[, , 2]), second = num(p[, , 3]))
for (high in 0:1) {
  s <- summary(survfit(Surv(time, state) ~ 1, subset(d, (x1 > median(d$x1)) == high)), times = times)$pstate
  out[[paste0("group", high, "_first")]] <- num(s[, 2]); out[[paste0("group", high, "_second")]] <- num(s[, 3])
}
# Standard errors of the absolute risks by influence functions (Ozenne et al. 2017).
suppressMessages(library(riskRegression))
e <- data.frame(t = d$apart, cause = d$cause, x1 = d$x1, x2 = d$x2)
pair <- CSC(Hist(t, cause) ~ x1 + x2, data = e, fitter = "coxph", method = "efron")
out$csc_se <- num(predict(pair, newdata = new, times = times, cause = 1, se = TRUE)$absRisk.se)
cat(obj(out), "\n")
