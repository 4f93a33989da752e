// Checks sheets, parameters and data files before anything runs; its message ends the pipeline.
process VALIDATE {
    tag "${sheet.name}"
    container "${image}"

    input:
    val image
    path sheet, stageAs: 'datasets_sheet.csv'
    path models, stageAs: 'models_sheet.csv'
    path files, stageAs: 'data?/*'
    val staged // JSON: path in the sheet -> place among the staged files
    val settings // JSON of the parameters that matter here
    path catalogue, stageAs: 'weights_catalogue.csv'

    output:
    path 'datasets.json', emit: datasets
    path 'models.json', emit: models
    path 'programs.json', emit: programs
    path 'notes.txt', emit: notes

    script:
    """
    cat > staged.json <<'END_OF_JSON'
    ${staged}
    END_OF_JSON
    cat > settings.json <<'END_OF_JSON'
    ${settings}
    END_OF_JSON
    sceval validate --datasets datasets_sheet.csv --models models_sheet.csv --staged staged.json --settings settings.json \\
        --catalogue weights_catalogue.csv --out .
    """

    stub:
    """
    cat > datasets.json <<'END_OF_JSON'
    [{"dataset": "stub", "path": "embedded:pbmc68k_lanes", "organism": "human", "matrix": "counts", "title": "Stub", "n_cells": 3, "n_genes": 2, "n_batches": 2, "n_types": 2, "cells_per_batch": {}, "cells_per_type": {}, "unlabelled": 0, "semi_synthetic": false}]
    END_OF_JSON
    echo '[]' > models.json
    touch notes.txt
    echo '[{"key": "stub", "image": "${image}", "program": "sceval-model-controls", "weights": ""}]' > programs.json
    """
}
