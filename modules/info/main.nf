// Asks each program what it can do; finds an image that does not start before any run needs it.
process INFO {
    tag "${meta.image}"
    container { meta.image }
    cache false // an image re-built under its tag is not seen otherwise

    input:
    tuple val(meta), path(weights, stageAs: 'weights')

    output:
    path "${meta.key}", emit: info

    script:
    """
    mkdir -p ${meta.key}
    if ! ${meta.program} info > ${meta.key}/info.json 2> ${meta.key}/error.txt; then
        mv ${meta.key}/info.json ${meta.key}/not_info.txt
    elif [ -e weights ] && grep -q '"lists_genes": true' ${meta.key}/info.json; then
        ${meta.program} genes --weights weights > ${meta.key}/genes.txt 2> ${meta.key}/genes_error.txt || rm -f ${meta.key}/genes.txt
    fi
    """

    stub:
    """
    mkdir -p ${meta.key}
    echo '{"name": "stub", "version": "0", "verbs": ["embed-cells"], "regimes": {"embed-cells": ["scratch"]}}' > ${meta.key}/info.json
    """
}
