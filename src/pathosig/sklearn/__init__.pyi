from .estimator import SignatureEstimator as SignatureEstimator
from .estimator import survival_target as survival_target
