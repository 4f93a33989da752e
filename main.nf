#!/usr/bin/env nextflow

include { SCEVAL } from './workflows/sceval'
include { check_params ; help_text } from './subworkflows/params/main'

workflow {
    if (params.help) {
        println(help_text("${projectDir}/nextflow_schema.json"))
    }
    else {
        check_params(params, "${projectDir}/nextflow_schema.json")
        def deciding = ['models', 'tasks', 'splits', 'regimes', 'seeds', 'control_seeds', 'split_seeds', 'device', 'time_limit', 'memory_mb', 'cpus', 'metrics_backend', 'score_batch', 'image_prefix', 'image_tag', 'local_programs', 'input', 'models_sheet']
        def settings = groovy.json.JsonOutput.toJson(params.subMap(deciding))
        def versions = groovy.json.JsonOutput.toJson(
            [nextflow: workflow.nextflow.version.toString(), profile: workflow.profile, started: workflow.start.toString(), command: workflow.commandLine, params: params]
        )
        SCEVAL(
            file(params.input),
            file(params.models_sheet),
            settings,
            "${params.image_prefix}batch_integration:${params.image_tag}",
            file("${params.outdir}/pipeline_info/trace.txt"),
            versions,
        )
        workflow.onComplete = {
            println(workflow.success ? "\nreport: ${file(params.outdir).toAbsolutePath()}/report.html" : "\nThe pipeline stopped; nothing that is done is lost: run the same command again to go on.")
        }
    }
}
