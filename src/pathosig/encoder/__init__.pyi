from .backbones import Encoder as Encoder
from .backbones import load_encoder as load_encoder
from .features.stage import import_features as import_features
from .spec import EncoderSpec as EncoderSpec
from .spec import TrainSpec as TrainSpec
from .stage import embed_tiles as embed_tiles
from .training.heads import cluster_labels as cluster_labels
from .training.heads import head_probabilities as head_probabilities
from .training.losses import barlow_loss as barlow_loss
from .training.losses import cluster_loss as cluster_loss
from .training.losses import instance_loss as instance_loss
from .training.network import ContrastiveClusteringNet as ContrastiveClusteringNet
from .training.observers import TrainingObserver as TrainingObserver
from .training.stage import train_encoder as train_encoder, train_observed as train_observed
from .zoo import ENCODERS as ENCODERS
