// Scores all outputs of a dataset, task and split together; a bad output never costs the others their scores.
process SCORE {
    tag "${meta.group_id}"
    container { meta.image }
    cpus { meta.cpus }

    input:
    tuple val(meta), path(view, stageAs: 'in/view.h5ad'), path(solution, stageAs: 'in/solution.h5ad'), path(outputs, stageAs: 'outputs/*')

    output:
    path "${meta.group_id}", emit: scored

    script:
    """
    export OMP_NUM_THREADS=${task.cpus}
    cat > runs.json <<'END_OF_JSON'
    ${meta.runs_json}
    END_OF_JSON
    ${meta.program} score --task ${meta.task} --view in/view.h5ad --solution in/solution.h5ad --outputs outputs --runs runs.json \\
        --metrics-backend ${meta.metrics_backend} --out ${meta.group_id}
    """

    stub:
    """
    mkdir -p ${meta.group_id}
    echo '{}' > ${meta.group_id}/verdicts.json
    """
}
