// Fetches one file of a catalogue's weights into the folder that all runs share. A failure is its result, not its end:
// the runs that need the file are then not made, with the reason.
process FETCH_WEIGHTS {
    tag "${meta.weights}/${meta.file}"
    container "${image}"
    cache false // the folder may have been emptied since; a file that is there and right costs nothing

    input:
    val image
    val meta
    path catalogue, stageAs: 'weights_catalogue.csv'
    path cache, stageAs: 'cache'
    val allow_unverified

    output:
    tuple val(meta.weights), path("${meta.receipt}"), emit: receipt

    script:
    def unverified = allow_unverified.toString() == 'true' ? '--allow_unverified' : ''
    """
    sceval weights fetch '${meta.weights}' --file '${meta.file}' --to cache --catalogue weights_catalogue.csv --receipt ${meta.receipt} ${unverified}
    """

    stub:
    """
    echo '{"weights": "${meta.weights}", "files": ["${meta.file}"], "ok": true, "reason": ""}' > ${meta.receipt}
    """
}
