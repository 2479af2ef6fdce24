"""Survival statistics alone: curves, log-rank test, Cox model and C-index on the NCCTG lung data that lifelines includes."""

from lifelines.datasets import load_lung

from pathosig.survival import cox, harrell_c, kaplan_meier, logrank, ph_test

lung = load_lung().dropna(subset=["age", "sex", "ph.ecog"])
time, event = lung["time"].to_numpy(float), lung["status"].to_numpy() == 1

for sex, curve in kaplan_meier(time, event, groups=lung["sex"].to_numpy()).items():
    median, lower, upper = curve.median
    print(f"sex {sex}: median survival {median:.0f} days ({lower:.0f}-{upper:.0f}), n = {curve.n}")
print(f"log-rank p = {logrank(time, event, lung['sex'].to_numpy()).p:.4f}")

fit = cox(lung[["age", "sex", "ph.ecog"]], time, event)
print(fit.to_frame().round(3).to_string(index=False))
c = harrell_c(fit.linear_predictor(lung), time, event)
print(
    f"C-index {c.c:.3f} ({c.lower:.3f}-{c.upper:.3f}); proportional hazards p = {ph_test(fit).global_p:.3f}"
)
