"""Phenotypes: recurring tissue patterns (HPCs), found without labels, frozen, inspected."""

from pathosig.phenotypes.codebook import Assignment, Clusterer, Codebook
from pathosig.phenotypes.consensus import consensus_centroids
from pathosig.phenotypes.fit import TrainingTiles, batch_diagnostic, fit_codebook
from pathosig.phenotypes.kmeans import spherical_kmeans
from pathosig.phenotypes.spec import PhenotypeSpec
from pathosig.phenotypes.stage import find_phenotypes
from pathosig.phenotypes.tree import cut_tree, tree_nodes, ward_tree

__all__ = [
    "Assignment",
    "Clusterer",
    "Codebook",
    "PhenotypeSpec",
    "TrainingTiles",
    "batch_diagnostic",
    "consensus_centroids",
    "cut_tree",
    "find_phenotypes",
    "fit_codebook",
    "spherical_kmeans",
    "tree_nodes",
    "ward_tree",
]
