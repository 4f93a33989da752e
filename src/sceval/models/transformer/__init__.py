"""What every transformer of ours shares: verbs, regimes, training. A new transformer is three files and a row.

`models/<id>/tokens.py` turns cells into model input, `network.py` holds the torch modules, `checkpoint.py` reads
official files; `program.py` is an `Info` and one call of `program.transformer_program`. What the three must offer is
written in `protocol.py`. Nothing here imports a model, and no model imports another.

========================  ==================================================================================
`protocol.py`             the interface of the three files
`loading.py`              reading and matching of checkpoint files
`network.py`              base class of networks: defaults for heads, features, freezing
`params.py`               hyper-parameters of training, and recipes
`program.py`              the command line of a transformer
`session.py`              one call of a verb: genes checked, network loaded, cells tokenized
`encode.py`               vectors of all cells
`embed.py`, `genes.py`    `embed-cells`, `embed-genes`
`annotate.py`             `annotate`
`classify_genes.py`       `classify-genes`
`regimes.py`, `lora.py`   what trains in which regime
`fitting.py`              the training loop of classifiers
========================  ==================================================================================
"""
