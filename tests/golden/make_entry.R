# Results of R for tests/validation/test_delayed_entry.py. Run from this folder: Rscript make_entry.R > entry.json
# Needs survival only. C of Harrell, Cox models, Kaplan-Meier and their tests come from the package. R has no AUC or Brier score for delayed
# entry; they are written out here from survfit: a death at t stands for S(t-) / Y(t), a patient under observation after h for S(h) / Y(h+).
suppressMessages(library(survival))
num <- function(x) paste0("[", paste(formatC(as.numeric(x), digits = 17, format = "g"), collapse = ", "), "]")
obj <- function(l) paste0("{", paste(sprintf("\"%s\": %s", names(l), unlist(l)), collapse = ",\n "), "}")
d <- subset(read.csv("cohort.csv"), entry < time)
control <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 60)
S <- with(d, Surv(entry, time, event)); d$high <- as.numeric(d$x1 > median(d$x1))
horizons <- c(8, 14)
one <- coxph(S ~ x1, d, control = control); two <- coxph(S ~ high, d, control = control)
km <- function(rows) { f <- survfit(S[rows] ~ 1); s <- summary(f, times = horizons, extend = TRUE); obj(list(surv = num(s$surv), lower = num(s$lower), upper = num(s$upper))) }
zph <- function(f) num(cox.zph(f, transform = "km")$table[1, c(1, 3)])
curve <- survfit(S ~ 1)
at <- function(t) match(t, curve$time)
before <- c(1, curve$surv)[seq_along(curve$surv)]
weights <- function(h) {
  dead <- ifelse(d$event == 1 & d$time <= h, before[at(d$time)] / curve$n.risk[at(d$time)], 0)
  watched <- d$time > h & d$entry <= h
  left <- summary(curve, times = h)$surv
  list(dead = dead, alive = ifelse(watched, left / sum(watched), 0))
}
auc <- sapply(horizons, function(h) {
  w <- weights(h); pairs <- outer(d$x1, d$x1, function(a, b) (a > b) + .5 * (a == b))
  sum(outer(w$dead, w$alive) * pairs) / (sum(w$dead) * sum(w$alive))
})
predicted <- function(h) exp(-.03 * h * exp(.4 * d$x1))
brier <- sapply(horizons, function(h) { w <- weights(h); s <- predicted(h); sum(w$dead * s^2) + sum(w$alive * (1 - s)^2) })
null <- sapply(horizons, function(h) { w <- weights(h); s <- summary(curve, times = h)$surv; sum(w$dead) * s^2 + sum(w$alive) * (1 - s)^2 })
cat(obj(list(version = sprintf("\"%s\"", packageVersion("survival")), n = nrow(d), horizons = num(horizons),
  hr_sd = num(c(coef(one), sqrt(vcov(one)))), hr_group = num(c(coef(two), sqrt(vcov(two)))),
  score = num(two$score), c = num(concordance(S ~ x1, d, reverse = TRUE)$concordance),
  km_low = km(d$high == 0), km_high = km(d$high == 1), zph_score = zph(one), zph_group = zph(two),
  auc = num(auc), brier = num(brier), null = num(null))), "\n")
