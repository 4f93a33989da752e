// Decides which runs are made, which are not applicable, and which share an embedding.
process PLAN {
    container "${image}"
    cache false // its fingerprints of the code must be of now; its rows are values, so all that follows stays cached

    input:
    val image
    path datasets
    path models
    path infos, stageAs: 'infos/*'
    val settings

    output:
    path 'plan.csv', emit: table
    path 'views.json', emit: views
    path 'runs.json', emit: runs
    path 'groups.json', emit: groups
    path 'model_facts.json', emit: models

    script:
    """
    cat > settings.json <<'END_OF_JSON'
    ${settings}
    END_OF_JSON
    mkdir -p infos
    sceval plan --datasets ${datasets} --models ${models} --infos infos --settings settings.json --out .
    """

    stub:
    def view = '"view_id": "stub.view", "dataset": "stub", "path": "embedded:pbmc68k_lanes", "query": "", "query_path": "", "more_paths": [], "task": "batch_integration", "split": "all", "split_seed": 0'
    def run = '"image": "", "program": "true", "verb": "embed-cells", "regime": "scratch", "params": {}, "seed": 0, "file": "output.h5ad", "shared": true, "device": "cpu", "weights": "", "fetch": false, "needs_solution": false, "cpus": 1, "memory_mb": 100, "time_s": 60, "gpu": 0, "code": "", "view_id": "stub.view"'
    def ids = 'stub,batch_integration,all,0,stub,scratch,stub-scratch,0,baseline'
    """
    cat > plan.csv <<'END_OF_CSV'
    run_id,dataset,task,split,split_seed,model,regime,variant,seed,kind,status,reason,verb,program,image,needs,output_of,params
    stub.first,${ids},planned,,embed-cells,true,,,stub.first,{}
    stub.second,${ids},planned,,probe,true,,stub.first,stub.second,{}
    stub.third,${ids},not_applicable,a stub,,,,,,{}
    END_OF_CSV
    echo '{}' > model_facts.json
    echo '[{${view}, "image": "", "program": "true", "code": ""}]' > views.json
    echo '[{"run_id": "stub.first", "needs": "", ${run}}, {"run_id": "stub.second", "needs": "stub.first", ${run}}]' > runs.json
    echo '[{"group_id": "stub.view", "view_id": "stub.view", "task": "batch_integration", "image": "", "program": "true", "runs": [{"run_id": "stub.first", "output_of": "stub.first"}, {"run_id": "stub.second", "output_of": "stub.second"}], "cpus": 1, "metrics_backend": "sceval", "code": ""}]' > groups.json
    """
}
