#!/usr/bin/env nextflow

include { SCEVAL } from './workflows/sceval'
include { check_params ; deciding_params ; help_text ; provenance } from './subworkflows/params/main'

workflow {
    if (params.help) {
        println(help_text("${projectDir}/nextflow_schema.json"))
    }
    else {
        check_params(params, "${projectDir}/nextflow_schema.json", workflow.profile)
        SCEVAL(
            file(params.input),
            file(params.models_sheet),
            [catalogue: file(params.weights_catalogue), cache: file(params.weights_cache), allow_unverified: params.allow_unverified],
            deciding_params(params),
            "${params.image_prefix}batch_integration:${params.image_tag}",
            file("${params.outdir}/pipeline_info/trace.txt"),
            provenance(params, workflow),
        )
        workflow.onComplete = {
            println(workflow.success ? "\nreport: ${file(params.outdir).toAbsolutePath()}/report.html" : "\nThe pipeline stopped; nothing that is done is lost: run the same command again to go on.")
        }
    }
}
