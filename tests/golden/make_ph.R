# Results of R for tests/survival/test_ph_terms.py. Run from this folder: Rscript make_ph.R > ph.json
# Needs survival only. A category of three levels, whose columns cox.zph tests together, beside two numbers; with and without delayed entry.
suppressMessages(library(survival))
num <- function(x) paste0("[", paste(formatC(as.numeric(x), digits = 17, format = "g"), collapse = ", "), "]")
obj <- function(l) paste0("{", paste(sprintf("\"%s\": %s", names(l), unlist(l)), collapse = ",\n "), "}")
d <- read.csv("cohort.csv")
control <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 60)
d$stratum <- factor(d$stratum)
rows <- function(f, transform) { z <- cox.zph(f, transform = transform, global = TRUE)$table; obj(list(chisq = num(z[, 1]), df = num(z[, 2]), p = num(z[, 3]))) }
plain <- coxph(Surv(time, event) ~ x1 + stratum + x3, d, control = control)
late <- coxph(Surv(entry, time, event) ~ x1 + stratum + x3, subset(d, entry < time), control = control)
kinds <- c("km", "rank", "identity")
all <- function(f) obj(setNames(lapply(kinds, function(k) rows(f, k)), kinds))
cat(obj(list(version = sprintf("\"%s\"", packageVersion("survival")), plain = all(plain), entry = obj(list(identity = rows(late, "identity"))))), "\n")
