# Results of R for tests/survival/test_competing_accuracy.py. Run from this folder: Rscript make_competing.R > competing.json
# riskRegression 2022.11.28 with competing events; `apart` breaks the ties of the times, `pairs` is timeROC's AUC_2 written out
# (Blanche, Dartigues, Jacqmin-Gadda, Stat Med 2013; 32: 5381, definition (ii) of controls), and `net` the net benefit with
# Aalen-Johansen estimates of survfit.
suppressMessages({library(riskRegression); library(prodlim); library(survival)})
num <- function(x) paste0("[", paste(formatC(as.numeric(x), digits = 17, format = "g"), collapse = ", "), "]")
obj <- function(l) paste0("{", paste(sprintf("\"%s\": %s", names(l), unlist(l)), collapse = ",\n "), "}")
d <- read.csv("cohort.csv"); times <- c(5, 10, 20)
risk <- plogis(d$x1 - .5); m <- matrix(rep(risk, 3), ncol = 3); out <- list(times = num(times))
d$apart <- d$time + rank(d$time, ties.method = "first") / 1e4
for (kind in c("time", "apart")) {
  e <- data.frame(time = d[[kind]], cause = d$cause)
  s <- Score(list(m = m), Hist(time, cause) ~ 1, e, times = times, cause = 1, metrics = c("AUC", "Brier"), conservative = FALSE)
  v <- as.data.frame(s$AUC$score); w <- as.data.frame(s$Brier$score)
  out[[paste0(kind, "_auc")]] <- num(v$AUC); out[[paste0(kind, "_se")]] <- num(v$se)
  out[[paste0(kind, "_brier")]] <- num(w$Brier[w$model == "m"]); out[[paste0(kind, "_null")]] <- num(w$Brier[w$model != "m"])
}
pairs <- function(t) {
  g <- summary(survfit(Surv(d$apart, d$cause == 0) ~ 1), times = sort(c(d$apart, t)), extend = TRUE)
  G <- stepfun(g$time, c(1, g$surv)); before <- function(x) G(x - 1e-9)
  case <- d$cause == 1 & d$apart <= t; other <- d$cause == 2 & d$apart <= t; later <- d$apart > t
  a <- ifelse(case, 1 / before(d$apart), 0); b <- ifelse(later, 1 / G(t), ifelse(other, 1 / before(d$apart), 0))
  w <- outer(a, b); sum(w * (outer(risk, risk, ">") + .5 * outer(risk, risk, "=="))) / sum(w)
}
net <- function(t, cut) {
  above <- risk >= cut
  p <- summary(survfit(Surv(time, factor(cause)) ~ 1, d[above, ]), times = t)$pstate[1, 2]
  mean(above) * (p - (1 - p) * cut / (1 - cut))
}
out$pairs <- num(sapply(times, pairs)); out$net <- num(sapply(c(.2, .3, .5), function(cut) net(10, cut)))
cat(obj(out), "\n")
