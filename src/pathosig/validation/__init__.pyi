from .forests import subgroup_effects as subgroup_effects
from .internal import cross_validate as cross_validate
from .spec import ValidateSpec as ValidateSpec
from .stage import validate_signature as validate_signature
from .treatment import TreatmentBenefit as TreatmentBenefit
from .treatment import treatment_benefit as treatment_benefit
from .validate import Validation as Validation
from .validate import validate as validate
