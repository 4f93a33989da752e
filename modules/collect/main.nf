// Joins plan, records and scores: a status for every planned run, the two-anchor scale, intervals, ranks.
process COLLECT {
    container "${image}"

    input:
    val image
    path plan
    path datasets
    path models
    path records, stageAs: 'records/*'
    path scored, stageAs: 'scored/*'
    path fetched, stageAs: 'fetched/*'
    path trace, stageAs: 'trace.txt'
    val versions

    output:
    path 'tables/*', emit: tables

    script:
    """
    cat > versions.json <<'END_OF_JSON'
    ${versions}
    END_OF_JSON
    mkdir -p records scored fetched
    sceval collect --plan ${plan} --datasets ${datasets} --models ${models} --records records --scored scored --fetched fetched \\
        --trace trace.txt --versions versions.json --out tables
    """

    stub:
    """
    mkdir -p tables
    printf 'run_id,metric\\n' > tables/scores.csv
    cp ${plan} tables/runs.csv
    """
}
