// Makes the one HTML file.
process REPORT {
    container "${image}"

    input:
    val image
    path tables, stageAs: 'tables/*'

    output:
    path 'report.html', emit: html

    script:
    """
    sceval report tables --out report.html
    """

    stub:
    """
    echo '<!doctype html><title>stub</title>' > report.html
    """
}
