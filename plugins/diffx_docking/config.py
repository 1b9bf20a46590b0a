"""Options of docking."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffx.config import DataConfig, RunConfig, TrainConfig, option

PLUGIN = "docking"
WEIGHTS, SCORES = "docking-rank", "docking-scores"  # shipped with the package


@dataclass
class DockData(DataConfig):
    """Many complexes at once."""

    root: str | None = option(
        None, help="train, evaluate: folder of NAME/protein.pdb[.gz] and NAME/ligand.sdf", common=True
    )
    file: str | None = option(
        None, help="CSV of complexes: complex_name, protein_path, ligand_description, pocket", common=True
    )
    first: int = option(0, help="train, evaluate: use only this many of the folder; 0 is all", min=0)
    pick: int = option(0, help="train, evaluate: use this many of the folder, drawn at random by seed; 0 is all", min=0)


@dataclass
class SearchConfig:
    """How poses are searched for."""

    guidance: str = option(
        "both",
        help="where poses come from: energy: random starts; network: the reverse diffusion; both",
        choices=("energy", "network", "both"),
        common=True,
    )
    draws: int = option(64, help="network, both: poses drawn by the reverse diffusion", min=1, max=100_000)
    walk: int = option(10, help="network, both: steps of the reverse diffusion", min=1, max=1000)
    starts: int = option(2048, help="energy, both: random poses from which to minimise", min=8, max=100_000)
    scout: int = option(20, help="steps of minimisation after which only the lowest are kept", min=1, max=1000)
    keep: int = option(512, help="poses that are minimised to the end; 0 is all, without scouting", min=0)
    steps: int = option(50, help="steps of minimisation of those that are kept", min=1, max=1000)
    candidates: int = option(40, help="distinct poses of low energy that are ranked", min=1, max=1000)


@dataclass
class RankingConfig:
    """The network that ranks poses."""

    hidden: int = option(32, help="width of the hidden layer", min=4)
    dropout: float = option(0.2, help="in training", min=0, max=0.9)
    members: int = option(4, help="networks, trained from different seeds, whose logits are averaged", min=1, max=20)
    network: bool = option(False, help="learn from the opinions of the network of scores (scores=) as well")
    folds: int = option(5, help="parts in which families of proteins are left out, for the calibration", min=2)


@dataclass
class RankingTraining(TrainConfig):
    steps: int = option(600, help="optimiser steps of each member", min=1, common=True)
    batch: int = option(16, help="complexes in one step", min=1)
    lr: float = option(3e-3, help="peak learning rate", min=0)
    weight_decay: float = option(0.05, help="decoupled weight decay of AdamW", min=0)


@dataclass
class ScoreConfig:
    """The network of scores."""

    width: int = option(64, help="of atoms' codes", min=8)
    channels: int = option(32, help="of the pocket's field", min=4)
    layers: int = option(3, help="of the ligand's encoder", min=1)
    pocket_layers: int = option(2, help="of the pocket's encoder", min=1)
    mixing: int = option(2, help="layers of attention among the atoms of a pose", min=0)
    dropout: float = option(0.0, help="of atoms' codes, in training", min=0, max=0.9)


@dataclass
class ScoreTraining(TrainConfig):
    steps: int = option(5000, help="optimiser steps", min=1, common=True)
    batch: int = option(4, help="complexes in one step", min=1)
    poses: int = option(16, help="noised poses of each complex in one step", min=1)
    lr: float = option(2e-3, help="peak learning rate", min=0)
    weight_decay: float = option(0.01, help="decoupled weight decay of AdamW", min=0)
    ema_std: float = option(0.1, help="relative width of the average of the weights", min=0.005, max=0.27)
    parts: int = option(4, help="parts of the families of proteins; one is left out, to be judged and ranked by", min=2)
    log_every: int = option(100, help="steps between two lines of metrics", min=1)
    checkpoint_every: int = option(100, help="steps between two checkpoints", min=1)


@dataclass
class EvaluateConfig:
    """What the poses are compared with."""

    vina: bool = option(False, help="run AutoDock Vina on the same boxes (needs vina and meeko)")
    exhaustiveness: int = option(8, help="Vina's", min=1, max=256)
    stored: str | None = option(None, help="vina.csv of an earlier run: Vina is not run again on what it names")


@dataclass
class DockConfig(RunConfig):
    """Poses of a ligand in a protein's pocket."""

    protein: str | None = option(None, help="receptor: PDB or mmCIF, gzipped or not", common=True)
    ligand: str | None = option(
        None, help="SMILES, or a file .sdf, .mol, .mol2, .smi; screen: a library; .csv as data.file", common=True
    )
    pocket: str | None = option(
        None, help="x,y,z or x,y,z,size in Å; a reference ligand's file; residues A:45,A:47; or blind", common=True
    )
    n: int = option(1, help="refused if not 1: samples= says how many poses are written", min=1)
    samples: int = option(10, help="distinct poses to write, the most likely first", min=1, max=1000, common=True)
    scores: str | None = option(
        None, help="weights of the network of scores: an id, a file, or the run folder of task=learn; default: shipped"
    )
    rank: str = option(
        "confidence",
        help="what poses are ranked by: the network's confidence, or the energy alone",
        choices=("confidence", "energy"),
        common=True,
    )
    checks: str = option(
        "auto",
        help="validity: PoseBusters' checks, the plugin's own geometry checks; auto: PoseBusters if installed",
        choices=("auto", "posebusters", "own", "none"),
    )
    waters: bool = option(False, help="keep the waters of the structure")
    data: DockData = field(default_factory=DockData)
    search: SearchConfig = field(default_factory=SearchConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    learn: ScoreTraining = field(default_factory=ScoreTraining)
    train: RankingTraining = field(default_factory=RankingTraining)
