// Runs any model: image, command, resources and GPU come from the row of the plan. A new model is an image and a row.
process RUN {
    tag "${meta.run_id}"
    ext gpu: { meta.gpu }
    container { meta.image }
    cpus { meta.cpus }
    memory { meta.memory_mb * task.attempt * 1.MB }
    time { (meta.time_s + 120) * 1.s } // above the monitor's own limit, else the reason would be lost

    input:
    tuple val(meta), path(view, stageAs: 'in/view.h5ad'), path(extra, stageAs: 'extra/*'), path(weights, stageAs: 'weights')

    output:
    tuple val(meta.run_id), path("${meta.run_id}"), emit: record
    tuple val(meta.run_id), path("${meta.run_id}/output.*"), optional: true, emit: output

    script:
    def monitor = 'sceval-monitor' // not named in the script itself: an edit of it must not run every model again
    def last = task.attempt > 1 ? 'yes' : 'no'
    def cgroup = workflow.containerEngine in ['docker', 'podman'] ? 'yes' : 'no'
    def own = meta.verb in ['probe', 'oracle']
    def regime = own ? '' : "--regime ${meta.regime} --params params.json --device ${meta.device}"
    def weights_option = weights ? '--weights weights' : ''
    def extra_option = meta.verb == 'probe' ? "--embedding ${extra}/output.h5ad" : meta.verb == 'oracle' ? "--solution ${extra}" : ''
    """
    export OMP_NUM_THREADS=${task.cpus}
    cat > params.json <<'END_OF_JSON'
    ${meta.params_json}
    END_OF_JSON
    ${monitor} --id '${meta.run_id}' --output ${meta.run_id}/${meta.file} --time ${meta.time_s} \\
        --memory ${meta.memory_mb * task.attempt} --attempt ${task.attempt} --last ${last} --cgroup ${cgroup} -- \\
        ${meta.program} ${meta.verb} --view in/view.h5ad --output ${meta.run_id}/${meta.file} ${regime} ${weights_option} \\
        ${extra_option} --seed ${meta.seed}
    """

    stub:
    """
    mkdir -p ${meta.run_id}
    printf 'stub' > ${meta.run_id}/${meta.file}
    echo '{"run_id": "${meta.run_id}", "status": "ok", "reason": "", "attempt": 1, "exit_code": 0, "wall_s": 0.1, "cpu_s": 0.1, "peak_rss_mb": 1, "program": null}' > ${meta.run_id}/run.json
    """
}
