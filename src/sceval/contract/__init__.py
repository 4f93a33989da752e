"""The contract: what each file holds, once as data, and the reader, writer and checker made from it."""

from sceval.contract.anndata_kind import check, check_cells, read, write
from sceval.contract.errors import ContractError, Problem
from sceval.contract.h5ad import CellFile
from sceval.contract.schema import SCHEMA_VERSION, columns, kinds, load

__all__ = [
    "SCHEMA_VERSION",
    "CellFile",
    "ContractError",
    "Problem",
    "check",
    "check_cells",
    "columns",
    "kinds",
    "load",
    "read",
    "write",
]
