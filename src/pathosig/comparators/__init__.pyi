from .attention import attention_scores as attention_scores
from .pooled import gaussian_moments as gaussian_moments
from .pooled import mean_pooled as mean_pooled
from .spec import CompareSpec as CompareSpec
from .stage import compare as compare
