"""Agreement between readers: Fleiss' kappa and Krippendorff's alpha for nominal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pathosig.core.errors import InputError


def fleiss_kappa(ratings: Sequence[Sequence[str]]) -> float | None:
    """Fleiss' kappa of several readers on nominal categories.

    With n readers per item, n_ij of whom put item i into category j, and p_j the proportion of all ratings in j:

        P_i = sum_j n_ij (n_ij - 1) / (n (n - 1)),   P_e = sum_j p_j^2,   kappa = (mean P_i - P_e) / (1 - P_e)

    Parameters
    ----------
    ratings
        One sequence of labels per item, all of the same length n >= 2, without missing labels.

    Returns
    -------
    float or None
        At most 1; 0 is agreement by chance. None without items, or if all ratings are in one category.

    Raises
    ------
    InputError
        If items have different numbers of labels, or fewer than two.

    References
    ----------
    Fleiss JL. Measuring nominal scale agreement among many raters. Psychological Bulletin 1971;76:378-382.

    Examples
    --------
    >>> fleiss_kappa(["aa", "bb", "ab", "bb"])  # P = 3/4, P_e = (3/8)^2 + (5/8)^2 = 34/64
    0.4666666666666667
    """
    if not ratings:
        return None
    sizes = {len(item) for item in ratings}
    if len(sizes) > 1 or min(sizes) < 2:
        raise InputError(
            f"fleiss_kappa: items have {sorted(sizes)} labels; expected the same number for all, at least 2."
        )
    n = sizes.pop()
    counts = [Counter(item) for item in ratings]
    observed = sum(c * (c - 1) for item in counts for c in item.values()) / (n * (n - 1) * len(counts))
    totals = sum(counts, Counter[str]())
    expected = sum((c / totals.total()) ** 2 for c in totals.values())
    return None if len(totals) == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(ratings: Sequence[Sequence[str | None]]) -> float | None:
    """Krippendorff's alpha for nominal data; labels may be missing.

    Over the items with m_u >= 2 labels, n labels in all, n_uc of them c in item u and n_c in total:

        D_o = sum_u (m_u^2 - sum_c n_uc^2) / (m_u - 1) / n,
        D_e = (n^2 - sum_c n_c^2) / (n (n - 1)),   alpha = 1 - D_o / D_e

    Parameters
    ----------
    ratings
        One sequence of labels for each item, with None for a reader without a label.

    Returns
    -------
    float or None
        At most 1; 0 is agreement by chance. None if no item has two labels, or if all labels are the same.

    References
    ----------
    Krippendorff K. Computing Krippendorff's alpha-reliability. University of Pennsylvania, 2011.

    Examples
    --------
    >>> krippendorff_alpha([["a", "a"], ["b", "b"], ["a", "b"], ["b", None]])  # D_o = 2/6, D_e = 18/30
    0.4444444444444444
    """
    counts = [Counter(label for label in item if label is not None) for item in ratings]
    pairable = [item for item in counts if item.total() >= 2]
    totals = sum(pairable, Counter[str]())
    n = totals.total()
    if len(totals) < 2:
        return None
    observed = (
        sum((item.total() ** 2 - sum(c * c for c in item.values())) / (item.total() - 1) for item in pairable)
        / n
    )
    expected = (n * n - sum(c * c for c in totals.values())) / (n * (n - 1))
    return 1 - observed / expected
