# Results of R for tests/survival. Run from this folder: Rscript make_golden.R
# Needs survival, MASS, glmnet, metafor, cmprsk, maxstat, Hmisc, riskRegression, jsonlite. Data: cohort.csv, simulated here.
suppressMessages({library(survival); library(MASS); library(glmnet); library(metafor); library(jsonlite); library(cmprsk); library(maxstat)})
set.seed(20261123)
n <- 160
d <- data.frame(x1 = rnorm(n), x2 = rbinom(n, 1, .4), x3 = runif(n), x4 = rexp(n),
                stratum = sample(c("a", "b", "c"), n, TRUE), cluster = sample(1:40, n, TRUE),
                weight = round(runif(n, .5, 2), 3))
death <- rexp(n, .05 * exp(.6 * d$x1 - .5 * d$x2)); cens <- runif(n, 2, 40)
d$time <- ceiling(pmin(death, cens) * 2) / 2              # many ties
d$event <- as.integer(death <= cens)
d$entry <- round(pmax(0, d$time * runif(n, -.4, .6)), 2)
d$entry[d$entry >= d$time] <- 0
set.seed(7)
d$cause <- ifelse(d$event == 1, ifelse(runif(n) < plogis(.3 + .5 * d$x1), 1, 2), 0)
write.csv(d, "cohort.csv", row.names = FALSE)
S <- Surv(d$time, d$event)
fit <- function(f) list(coef = unname(coef(f)), se = unname(sqrt(diag(vcov(f)))), loglik = f$loglik, score = f$score,
                        lrt = unname(summary(f)$logtest[["test"]]), n = f$n, nevent = f$nevent)
zph <- function(f, t) {z <- cox.zph(f, transform = t); unname(z$table[, "chisq"])}
out <- list()
for (ties in c("efron", "breslow")) {
  f <- coxph(S ~ x1 + x2 + x3 + x4, d, ties = ties)
  b <- basehaz(f, centered = FALSE)
  out$cox[[ties]] <- c(fit(f), list(zph = lapply(c(km = "km", rank = "rank", identity = "identity", log = "log"),
                       function(t) zph(f, t)), base_time = b$time, base_hazard = b$hazard))
  out$strata[[ties]] <- fit(coxph(S ~ x1 + x2 + strata(stratum), d, ties = ties))
  out$weights[[ties]] <- fit(coxph(S ~ x1 + x2 + x3, d, weights = weight, ties = ties))
  f <- coxph(S ~ x1 + x2 + x3, d, cluster = cluster, ties = ties)
  out$cluster[[ties]] <- c(fit(f), list(naive = unname(sqrt(diag(f$naive.var)))))
  out$entry[[ties]] <- fit(coxph(Surv(entry, time, event) ~ x1 + x2, d, ties = ties))
  out$univariate[[ties]] <- lapply(d[c("x1", "x2", "x3", "x4")], function(x) fit(coxph(S ~ x, ties = ties)))
}
km <- function(f) list(time = f$time, surv = f$surv, lower = f$lower, upper = f$upper, n_risk = f$n.risk)
for (ct in c("log", "log-log", "plain")) {
  f <- survfit(S ~ 1, conf.type = ct); out$km[[ct]] <- c(km(f), list(median = unname(quantile(f, .5, conf.int = TRUE)) ))
}
out$km_entry <- km(survfit(Surv(entry, time, event) ~ 1, d))
lr <- function(f) list(chisq = f$chisq, obs = as.vector(f$obs), exp = as.vector(f$exp))
out$logrank <- lr(survdiff(S ~ stratum, d)); out$peto <- lr(survdiff(S ~ stratum, d, rho = 1))
out$logrank_strata <- survdiff(S ~ x2 + strata(stratum), d)$chisq
cc <- concordance(S ~ x1, d, reverse = TRUE); out$harrell <- list(c = unname(cc$concordance), se = sqrt(unname(cc$var)))
cc <- concordance(S ~ x1, d, reverse = TRUE, timewt = "n/G2", ymax = 15); out$uno <- list(c = unname(cc$concordance), se = sqrt(unname(cc$var)))
for (dir in c("forward", "backward", "both")) {
  low <- coxph(S ~ 1, d); full <- coxph(S ~ x1 + x2 + x3 + x4, d)
  s <- stepAIC(if (dir == "forward") low else full, scope = list(lower = ~1, upper = ~ x1 + x2 + x3 + x4), direction = dir, trace = 0)
  out$stepwise[[dir]] <- list(names = names(coef(s)), aic = unname(extractAIC(s)[2]))
}
X <- as.matrix(d[c("x1", "x2", "x3", "x4")])
g <- glmnet(X, S, family = "cox", lambda = c(.2, .1, .05, .01), thresh = 1e-14, standardize = TRUE)
out$glmnet$lasso <- t(as.matrix(coef(g)))
g <- glmnet(X, S, family = "cox", alpha = .5, lambda = c(.2, .1, .05, .01), thresh = 1e-14, standardize = TRUE)
out$glmnet$half <- t(as.matrix(coef(g)))
r <- rma(yi = c(.5, .2, .9, .3), sei = c(.2, .15, .3, .2), method = "REML", test = "knha", control = list(threshold = 1e-12, maxiter = 1000))
p <- predict(r)
out$pool <- list(estimate = as.vector(r$beta), se = r$se, lower = r$ci.lb, upper = r$ci.ub, p = r$pval, tau2 = r$tau2, i2 = r$I2, q = r$QE, pi_lower = p$pi.lb, pi_upper = p$pi.ub)
tab <- table(d$stratum, d$event, cut(d$x3, 2))[, , 1]
tab3 <- matrix(c(3, 1, 4, 1, 5, 9, 2, 6, 5), 3)
out$tables <- list(tab = tab3, fisher = fisher.test(tab3)$p.value, chisq = suppressWarnings(chisq.test(tab3))$p.value,
  wilcox = wilcox.test(d$x1[d$x2 == 1], d$x1[d$x2 == 0])$p.value, kruskal = kruskal.test(d$x1, factor(d$stratum))$p.value,
  p = c(.01, .04, .03, .2, .5), BH = p.adjust(c(.01, .04, .03, .2, .5), "BH"), holm = p.adjust(c(.01, .04, .03, .2, .5), "holm"),
  hochberg = p.adjust(c(.01, .04, .03, .2, .5), "hochberg"), BY = p.adjust(c(.01, .04, .03, .2, .5), "BY"))
# competing risks
at <- c(2, 5, 10, 20)
r <- cuminc(d$time, d$cause, d$stratum)
out$cuminc$grouped <- list(est = timepoints(r, at)$est, var = timepoints(r, at)$var, curves = rownames(timepoints(r, at)$est), times = at, tests = r$Tests)
r <- cuminc(d$time, d$cause); out$cuminc$all <- list(est = timepoints(r, at)$est, var = timepoints(r, at)$var)
out$cuminc$stratified <- cuminc(d$time, d$cause, d$x2, strata = d$stratum, rho = 1)$Tests
small <- data.frame(t = c(1, 1, 2, 2, 3, 3, 3, 4, 5, 6), s = c(1, 2, 1, 1, 0, 2, 1, 1, 2, 1), g = rep(1:2, 5))
r <- cuminc(small$t, small$s, small$g)
out$cuminc$small <- list(est = timepoints(r, 1:6)$est, var = timepoints(r, 1:6)$var, tests = r$Tests)
e <- d; e$pid <- seq_len(n)
for (ties in c("efron", "breslow")) {
  fg <- finegray(Surv(time, factor(cause, 0:2)) ~ ., e, etype = "1")
  f <- coxph(Surv(fgstart, fgstop, fgstatus) ~ x1 + x2 + x3, fg, weights = fgwt, cluster = pid, ties = ties)
  b <- basehaz(f, centered = FALSE)
  out$finegray[[ties]] <- list(coef = unname(coef(f)), se = unname(sqrt(diag(vcov(f)))), naive = unname(sqrt(diag(f$naive.var))),
                               loglik = f$loglik, at = at, base = stepfun(b$time, c(0, b$hazard))(at))
  fg <- finegray(Surv(time, factor(cause, 0:2)) ~ . + strata(stratum), e, etype = "2")
  f <- coxph(Surv(fgstart, fgstop, fgstatus) ~ x1 + x2 + strata(stratum), fg, weights = fgwt, cluster = cluster, ties = ties)
  out$finegray_strata[[ties]] <- list(coef = unname(coef(f)), se = unname(sqrt(diag(vcov(f)))))
  f <- coxph(Surv(time, cause == 2) ~ x1 + x2, d, ties = ties)
  out$cause_specific[[ties]] <- fit(f)
}
f <- crr(d$time, d$cause, as.matrix(d[c("x1", "x2", "x3")]), gtol = 1e-12)
out$crr <- list(coef = unname(f$coef), se = sqrt(diag(f$var)), naive = sqrt(diag(f$inf |> solve())), loglik = f$loglik)
# calibration of a model fitted on the first half, in the second
half <- d[1:80, ]; other <- d[81:160, ]
f <- coxph(Surv(time, event) ~ x1 + x2, half); b <- basehaz(f, centered = FALSE)
lp <- as.vector(as.matrix(other[c("x1", "x2")]) %*% coef(f))
when <- c(5, 12); H <- stepfun(b$time, c(0, b$hazard))(when)
pred <- exp(-outer(exp(lp), H)); So <- Surv(other$time, other$event)
g <- coxph(So ~ lp); out$calibration <- list(prediction = pred, times = when, lp = lp, slope = unname(coef(g)), slope_se = sqrt(vcov(g)[1]))
for (j in 1:2) {
  risk <- 1 - pred[, j]; s <- summary(survfit(So ~ 1), times = when[j]); cll <- log(-log(pred[, j]))
  grp <- cut(risk, quantile(risk, 0:5 / 5), include.lowest = TRUE)
  k <- sapply(levels(grp), function(l) {v <- summary(survfit(So[grp == l] ~ 1), times = when[j], extend = TRUE); c(mean(risk[grp == l]), 1 - v$surv, 1 - v$upper, 1 - v$lower, sum(grp == l))})
  z <- cbind(cll, Hmisc::rcspline.eval(cll, knots = quantile(cll, c(.1, .5, .9)), inclx = FALSE))
  m <- coxph(So ~ z); bz <- basehaz(m, centered = FALSE)
  sm <- 1 - exp(-stepfun(bz$time, c(0, bz$hazard))(when[j]) * exp(as.vector(z %*% coef(m))))
  e <- abs(sm - risk)
  out$calibration$at[[j]] <- list(observed = 1 - s$surv, upper = 1 - s$lower, lower = 1 - s$upper, expected = mean(risk), groups = unname(t(k)), smooth = sm, ici = mean(e), e50 = median(e), e90 = unname(quantile(e, .9)), emax = max(e))
}
# decision curve: net benefit from survfit among those at or above the threshold
cuts <- c(0, .1, .25, .4, .5, .6, .75, .95); risk <- 1 - pred[, 2]
nb <- sapply(cuts, function(p) {pos <- risk >= p; if (!any(pos)) return(0)
  F <- 1 - summary(survfit(So[pos] ~ 1), times = when[2])$surv; if (!length(F)) return(NA)
  mean(pos) * (F - (1 - F) * p / (1 - p))})
F <- 1 - summary(survfit(So ~ 1), times = when[2])$surv
out$decision <- list(thresholds = cuts, model = nb, all = F - (1 - F) * cuts / (1 - cuts))
# restricted means and follow-up
for (tau in c(8, 15.25)) {
  v <- summary(survfit(S ~ x2, d), rmean = tau)$table; out$rmst[[as.character(tau)]] <- list(mean = unname(v[, "rmean"]), se = unname(v[, "se(rmean)"]))
}
f <- survfit(Surv(time, 1 - event) ~ 1, d)
out$reverse <- list(km = km(f), median = lapply(quantile(f, c(.25, .5, .75), conf.int = TRUE), unname))
f <- survfit(S ~ 1, d, weights = weight); out$km_weights <- list(time = f$time, surv = f$surv)
# inverse probability of treatment weights and a robust Cox model
p <- fitted(glm(x2 ~ x1 + x3, binomial, d)); d$iptw <- ifelse(d$x2 == 1, mean(d$x2) / p, (1 - mean(d$x2)) / (1 - p))
out$iptw$weights <- unname(d$iptw)
for (ties in c("efron", "breslow")) {
  e <- d; e$pid <- seq_len(n)
  f <- coxph(S ~ x2, e, weights = iptw, cluster = pid, ties = ties); out$iptw[[ties]] <- c(fit(f), list(naive = sqrt(f$naive.var[1])))
  f <- coxph(Surv(entry, time, event) ~ x1 + x2 + strata(stratum), e, weights = weight, cluster = cluster, ties = ties)
  b <- cox.zph(coxph(Surv(entry, time, event) ~ x1 + x2, e, ties = ties), transform = "identity")
  out$everything[[ties]] <- c(fit(f), list(naive = unname(sqrt(diag(f$naive.var))), zph_entry = unname(b$table[, "chisq"])))
  f <- coxph(S ~ x1 + x2 + strata(stratum), e, ties = ties)
  out$zph_strata[[ties]] <- lapply(c(km = "km", rank = "rank", identity = "identity", log = "log"), function(t) zph(f, t))
  f <- coxph(Surv(time * 1 + ifelse(pid %% 2, 1e-10, 0), event) ~ x1 + x2, e, ties = ties); out$near_ties[[ties]] <- fit(f)
  e$time[e$time < 2] <- 0
  out$time_zero[[ties]] <- fit(coxph(Surv(time, event) ~ x1 + x2, e, ties = ties))
  e <- d; e$x1[c(3, 50)] <- NA; e$time[7] <- NA
  out$missing[[ties]] <- fit(coxph(Surv(time, event) ~ x1 + x2, e, ties = ties))
}
e <- d[order(d$time), ]; e$event <- 0; e$event[40] <- 1
out$one_event <- list(x = e$x1, time = e$time, event = e$event, fit = fit(coxph(Surv(time, event) ~ x1, e)))
out$near_ties$logrank <- survdiff(Surv(d$time + ifelse(seq_len(n) %% 2, 1e-10, 0), d$event) ~ d$stratum)$chisq
# Firth: the penalised likelihood from coxph, maximised by optim
e <- d; e$rare <- as.integer(seq_len(n) %in% which(d$event == 0)[1:4])
firth <- function(b, vars) {f <- coxph(as.formula(paste("S ~", paste(vars, collapse = "+"))), e, init = b, ties = "breslow", control = coxph.control(iter.max = 0)); f$loglik[2] - .5 * as.numeric(determinant(as.matrix(f$var))$modulus)}
o <- suppressWarnings(optim(c(0, 0), firth, vars = c("rare", "x1"), control = list(fnscale = -1, reltol = 1e-15, maxit = 5000)))
out$firth <- list(rare = e$rare, coef = o$par, loglik = o$value)
# discrimination with ties (riskRegression), maximally selected cut-points, exact tables
suppressMessages(library(riskRegression)); library(prodlim)
m <- matrix(rep(plogis(-d$x1), 3), ncol = 3)
s <- Score(list(m = 1 - m), Surv(time, event) ~ 1, d, times = c(5, 10, 20), metrics = c("AUC", "Brier"), conservative = FALSE)
v <- as.data.frame(s$AUC$score); w <- as.data.frame(s$Brier$score); w <- w[w$model == "m", ]
out$score <- list(times = v$times, auc = v$AUC, se = v$se, prediction = plogis(-d$x1), brier = w$Brier)
for (v in c("x1", "x3", "x4")) {
  e <- data.frame(time = d$time, event = d$event, x = round(d[[v]], 1))
  for (m in c("Lau92", "Lau94")) {r <- maxstat.test(Surv(time, event) ~ x, e, smethod = "LogRank", pmethod = m, minprop = .1, maxprop = .9); out$maxstat[[v]][[m]] <- list(cut = unname(r$estimate), statistic = unname(r$statistic), p = unname(r$p.value))}
}
tabs <- list(matrix(c(3, 0, 2, 7, 1, 4), 2), matrix(c(5, 2, 0, 1, 8, 3, 2, 2, 9, 0, 1, 4), 3), matrix(c(12, 5, 7, 9, 3, 20, 8, 2), 4), matrix(c(1, 0, 0, 6, 3, 2, 0, 4, 4, 1, 1, 5, 0, 2, 3, 3), 4), matrix(c(10, 2, 3, 15), 2))
out$fisher <- lapply(tabs, function(m) list(table = m, p = fisher.test(m, workspace = 2e7)$p.value))
# what real data sets of R's survival package turned up
e <- d; e$alias <- as.integer(e$stratum == "b") + .5 * (e$stratum == "c")
f <- coxph(S ~ x1 + alias + x3 + strata(stratum), e); out$alias <- list(coef = unname(coef(f)[c(1, 3)]), se = unname(sqrt(diag(vcov(f)))[c(1, 3)]))
f <- coxph(Surv(entry, time, event) ~ x1 + x2, d); out$zph_entry <- lapply(c(km = "km", rank = "rank", identity = "identity", log = "log"), function(t) zph(f, t))
f <- coxph(S ~ x1 + x2 + strata(stratum), d, ties = "efron"); b <- basehaz(f, centered = FALSE); out$base_strata <- list(time = b$time, hazard = b$hazard, stratum = as.character(b$strata))
e <- d; e$event[e$time < 4] <- 0; f <- survfit(Surv(time, event) ~ 1, e, conf.type = "log-log"); out$late_events <- km(f)
e <- data.frame(time = d$time, event = d$event, x = sin(seq_len(n)))
for (size in c(26, 43, 97, 155)) {s <- e[seq_len(size), ]; for (m in c("Lau92", "Lau94")) {r <- maxstat.test(Surv(time, event) ~ x, s, smethod = "LogRank", pmethod = m, minprop = .1, maxprop = .9); out$small_maxstat[[as.character(size)]][[m]] <- list(cut = unname(r$estimate), statistic = unname(r$statistic), p = unname(r$p.value))}}
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = FALSE), "survival.json")
