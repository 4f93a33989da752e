// Cuts a dataset into the view that models may see and the solution that only scoring sees.
process PREPARE {
    tag "${meta.view_id}"
    container { meta.image }

    input:
    tuple val(meta), path(data, stageAs: 'data/*'), path(query, stageAs: 'query/*'), path(more, stageAs: 'more?/*')

    output:
    tuple val(meta.view_id), path("${meta.view_id}/view.h5ad"), path("${meta.view_id}/solution.h5ad"), emit: view

    script:
    def data_option = data ? "--data '${data}'" : ''
    def query_option = query ? "--query-data '${query}'" : ''
    def more_options = (more instanceof List ? more : [more]).collect { file -> "--more '${file}'" }.join(' ')
    """
    cat > rows.json <<'END_OF_JSON'
    ${meta.rows_json}
    END_OF_JSON
    ${meta.program} prepare --task ${meta.task} --dataset ${meta.dataset} --rows rows.json ${data_option} ${query_option} ${more_options} \\
        --split ${meta.split} --split-seed ${meta.split_seed} --out ${meta.view_id}
    """

    stub:
    """
    mkdir -p ${meta.view_id}
    printf 'stub' | tee ${meta.view_id}/view.h5ad > ${meta.view_id}/solution.h5ad
    """
}
