# Results of R for tests/validation/test_clinical_model.py, on GBSG2 (Schumacher et al. 1994), whose table is not kept here.
# Run: Rscript make_clinical.R gbsg2.csv > clinical.json. Progesterone receptor, log(1 + x) over its SD, stands in for the score.
suppressMessages(library(survival))
num <- function(x) paste0("[", paste(formatC(as.numeric(x), digits = 17, format = "g"), collapse = ", "), "]")
obj <- function(l) paste0("{", paste(sprintf("\"%s\": %s", names(l), unlist(l)), collapse = ",\n "), "}")
d <- read.csv(commandArgs(TRUE)[1])
raw <- -log1p(d$progrec); d$score <- raw / sd(raw); d$time <- d$time / 365.25 * 12
d$tgrade <- factor(d$tgrade, levels = c("I", "II", "III")); d$horTh <- factor(d$horTh, levels = c("no", "yes"))
control <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 50)
case <- function(f) {
  new <- d[c(1, 10, 100, 300, 650), ]
  s <- survfit(f, newdata = new, conf.type = "log-log")
  at <- summary(s, times = c(12, 36, 60))
  lp <- predict(f, newdata = d, type = "lp", reference = "zero")
  obj(list(coef = num(coef(f)), covariance = num(vcov(f)), lp = num((lp - mean(lp))[1:20]), survival = num(at$surv),
           lower = num(at$lower), upper = num(at$upper), c = num(concordance(f)$concordance)))
}
full <- coxph(Surv(time, cens) ~ age + tsize + pnodes + tgrade + horTh + score, d, control = control)
clinical <- coxph(Surv(time, cens) ~ age + tsize + pnodes + tgrade + horTh, d, control = control)
cat(obj(list(sd = num(sd(raw)), full = case(full), clinical = case(clinical))), "\n")
