# Pooled Cox model of mice for tests/signature/test_imputation.py. Run from this folder: Rscript make_imputation.R
# Needs survival, mice, jsonlite. Data: cohort.csv with holes that depend on the outcome and on other columns.
suppressMessages({library(survival); library(mice); library(jsonlite)})
d <- read.csv("cohort.csv"); n <- nrow(d)
set.seed(11)
d$score <- d$x3 + .4 * d$x1 + rnorm(n, sd = .3)
holes <- list(x1 = which(runif(n) < plogis(-1.6 + 1.3 * d$event)), x2 = which(runif(n) < .15),
              stratum = which(runif(n) < plogis(-1.8 + .4 * d$x4)))
full <- d
for (v in names(holes)) d[[v]][holes[[v]]] <- NA
d$x2 <- factor(d$x2); d$stratum <- factor(d$stratum); full$x2 <- factor(full$x2); full$stratum <- factor(full$stratum)
d$hazard <- nelsonaalen(d, time, event)
use <- d[, c("score", "event", "hazard", "x1", "x2", "stratum")]
imp <- mice(use, m = 400, maxit = 10, method = c("", "", "", "pmm", "logreg", "polyreg"), printFlag = FALSE, seed = 5)
time <- d$time
fits <- with(imp, coxph(Surv(time, event) ~ score + x1 + x2 + stratum))
p <- summary(pool(fits)); q <- pool(fits)$pooled
whole <- coxph(Surv(time, event) ~ score + x1 + x2 + stratum, full)
one <- coxph(Surv(time, event) ~ score + x1 + x2 + stratum, d)
# pooling alone, on given estimates
fit2 <- lapply(1:5, function(i) coef(summary(fits$analyses[[i]])))
sub <- pool(as.mira(fits$analyses[1:5])); s5 <- summary(sub, conf.int = TRUE)
out <- list(score = d$score, holes = lapply(holes, function(v) v - 1L), term = as.character(p$term), coef = p$estimate, se = p$std.error,
            df = p$df, lambda = q$lambda, full = unname(coef(whole)), complete = unname(coef(one)), complete_se = unname(sqrt(diag(vcov(one)))),
            rubin = list(coef = lapply(fit2, function(m) unname(m[, 1])), se = lapply(fit2, function(m) unname(m[, 3])), events = sum(d$event),
                         estimate = s5$estimate, std_error = s5$std.error, df = s5$df, dfcom = sub$pooled$dfcom, p = s5$p.value, lower = s5[["2.5 %"]], upper = s5[["97.5 %"]]))
write(toJSON(out, digits = NA, auto_unbox = TRUE), "imputation.json")
