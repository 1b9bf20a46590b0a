"""Options of docking."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffx.config import DataConfig, RunConfig, TrainConfig, option

PLUGIN = "docking"
WEIGHTS = "docking-rank"  # shipped with the package


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
    pick: int = option(0, help="evaluate: use this many of the folder, drawn at random by seed; 0 is all", min=0)


@dataclass
class SearchConfig:
    """How poses are searched for."""

    starts: int = option(512, help="random poses from which to minimise", min=8, max=100_000)
    steps: int = option(70, help="steps of minimisation of each", min=1, max=1000)
    candidates: int = option(40, help="distinct poses of low energy that are ranked", min=1, max=1000)


@dataclass
class RankingConfig:
    """The network that ranks poses."""

    hidden: int = option(32, help="width of the hidden layer", min=4)
    dropout: float = option(0.2, help="in training", min=0, max=0.9)
    members: int = option(4, help="networks, trained from different seeds, whose logits are averaged", min=1, max=20)
    folds: int = option(5, help="parts in which families of proteins are left out, for the calibration", min=2)


@dataclass
class RankingTraining(TrainConfig):
    steps: int = option(300, help="optimiser steps of each member", min=1, common=True)
    batch: int = option(16, help="complexes in one step", min=1)
    lr: float = option(3e-3, help="peak learning rate", min=0)
    weight_decay: float = option(0.05, help="decoupled weight decay of AdamW", min=0)


@dataclass
class EvaluateConfig:
    """What the poses are compared with."""

    vina: bool = option(False, help="run AutoDock Vina on the same boxes (needs vina and meeko)")
    exhaustiveness: int = option(8, help="Vina's", min=1, max=256)
    stored: str | None = option(
        None, help="results of Vina from an earlier run: CSV with id, rmsd_top1, rmsd_top5, pb_valid, dock_cpu_s"
    )


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
    samples: int = option(10, help="distinct poses to write, the most likely first", min=1, max=1000, common=True)
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
    train: RankingTraining = field(default_factory=RankingTraining)
