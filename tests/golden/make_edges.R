# Results of R for tests/survival/test_hard_data.py. Run from this folder: Rscript make_edges.R > edges.json
# Needs survival only; every data set is simulated here and written beside the results, so that no second file is needed.
suppressMessages(library(survival))
num <- function(x) paste0("[", paste(ifelse(is.na(x), "null", ifelse(is.finite(x), formatC(as.numeric(x), digits = 17, format = "g"), "null")), collapse = ", "), "]")
obj <- function(l) paste0("{", paste(sprintf("\"%s\": %s", names(l), unlist(l)), collapse = ",\n "), "}")
control <- coxph.control(eps = 1e-12, iter.max = 60)
quiet <- suppressWarnings
fit <- function(f) { v <- sqrt(diag(vcov(f))); obj(list(coef = num(coef(f)), se = num(v), loglik = num(f$loglik))) }
data <- function(d) obj(lapply(d, num))
case <- function(d, ...) obj(c(list(data = data(d)), lapply(list(...), fit)))
out <- list()

set.seed(1)
n <- 120
d <- data.frame(x1 = rnorm(n), x3 = rbinom(n, 1, .5))
d$time <- round(rexp(n, .1 * exp(.5 * d$x1)), 2) + .01; d$event <- rbinom(n, 1, .6)
d$x2 <- ifelse(d$event == 0 & runif(n) < .3, 1, 0)                       # no event in x2 = 1
d$stratum <- rep(1:2, length.out = n); d$entry <- round(d$time * runif(n, 0, .8), 3); d$weight <- rep(1:3, length.out = n)
S <- Surv(d$time, d$event)
out$separated <- case(d,
  efron = quiet(coxph(S ~ x1 + x2 + x3, d, control = control)),
  breslow = quiet(coxph(S ~ x1 + x2 + x3, d, ties = "breslow", control = control)),
  strata = quiet(coxph(S ~ x1 + x2 + x3 + strata(stratum), d, control = control)),
  weights = quiet(coxph(S ~ x1 + x2 + x3, d, weights = weight, control = control)),
  entry = quiet(coxph(Surv(entry, time, event) ~ x1 + x2 + x3, d, control = control)),
  cluster = quiet(coxph(S ~ x1 + x2 + x3, d, cluster = rep(1:40, 3), control = control)))

set.seed(2)
n <- 60
d <- data.frame(time = 1:n, event = as.integer(runif(n) < .5), x1 = rnorm(n))
level <- sample(1:4, n, TRUE); d$event[level == 3] <- 0                 # a level without events, and one that dies at once
d$b <- as.integer(level == 2); d$c <- as.integer(level == 3); d$d <- as.integer(level == 4)
out$levels <- case(d, efron = quiet(coxph(Surv(time, event) ~ x1 + b + c + d, d, control = control)))

set.seed(3)
n <- 100
d <- data.frame(x1 = rnorm(n), x2 = rnorm(n)); d$x3 <- d$x1 + d$x2; d$x4 <- rbinom(n, 1, .4); d$x5 <- 1 - d$x4
d$time <- round(rexp(n, .1 * exp(.6 * d$x1 - .4 * d$x4)), 1) + .1; d$event <- rbinom(n, 1, .7)
out$collinear <- case(d, efron = coxph(Surv(time, event) ~ x1 + x2 + x3 + x4 + x5, d, control = control))
d$x2 <- d$x1 + rnorm(n, 0, 1e-4)
out$near <- case(d, efron = coxph(Surv(time, event) ~ x1 + x2 + x4, d, control = control))

d$x6 <- sample(c(-1, 0, 1), n, TRUE); d$x7 <- rnorm(n, 5)
f <- coxph(Surv(time, event) ~ x4 + x6 + x7, d, control = control); b <- basehaz(f, centered = TRUE)
out$centred <- obj(list(data = data(d), means = num(f$means), time = num(b$time), hazard = num(b$hazard)))

set.seed(4)
d$w <- round(runif(n, .2, 3), 3)
km <- lapply(c(log = "log", loglog = "log-log", plain = "plain"), function(ct) {
  f <- survfit(Surv(time, event) ~ 1, d, weights = w, conf.type = ct)
  obj(list(time = num(f$time), surv = num(f$surv), se = num(f$std.err), lower = num(f$lower), upper = num(f$upper)))})
out$weighted_km <- obj(c(list(data = data(d)), km))

d$entry <- round(d$time * runif(n, 0, .7), 2)
cc <- concordance(Surv(entry, time, event) ~ x1, d, reverse = TRUE)
out$entry_c <- obj(list(data = data(d), c = num(cc$concordance), se = num(sqrt(cc$var)), counts = num(cc$count[1:3])))

set.seed(5)
tables <- list(a = c(3, 4, 400), b = c(3, 5, 290), c = c(4, 4, 120), d = c(2, 6, 300), e = c(5, 5, 60))
rc <- lapply(tables, function(s) {
  m <- table(factor(sample(s[1], s[3], TRUE, prob = s[1]:1), 1:s[1]), factor(sample(s[2], s[3], TRUE, prob = rep(1:2, length.out = s[2])), 1:s[2]))
  obj(list(shape = num(s[1:2]), counts = num(t(m)), p = num(fisher.test(m, workspace = 2e8)$p.value)))})
out$fisher <- obj(rc)
cat(obj(out), "\n")
