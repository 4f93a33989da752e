include { VALIDATE } from '../modules/validate/main'
include { INFO } from '../modules/info/main'
include { PLAN } from '../modules/plan/main'
include { PREPARE } from '../modules/prepare/main'
include { RUN as EMBED } from '../modules/run/main'
include { RUN } from '../modules/run/main'
include { SCORE } from '../modules/score/main'
include { COLLECT } from '../modules/collect/main'
include { REPORT } from '../modules/report/main'

// A row of the plan as RUN gets it: parameters as text, so that they reach the program unchanged.
def run_meta(row) {
    return row + [params_json: groovy.json.JsonOutput.toJson(row.params)]
}

def view_meta(view) {
    return view.subMap(['view_id', 'dataset', 'task', 'split', 'split_seed', 'image', 'program', 'code']) + [rows_json: groovy.json.JsonOutput.toJson(view.subMap(['row', 'query_row']))]
}

def group_meta(group) {
    return group.subMap(['group_id', 'task', 'image', 'program', 'cpus', 'metrics_backend', 'code']) + [runs_json: groovy.json.JsonOutput.toJson(group.runs)]
}

// A file of the sheets: relative paths are looked for beside the sheet, then in the launch directory.
def find_file(text, folder) {
    def beside = folder.resolve(text)
    return beside.exists() ? beside : file(text)
}

// Embedded cells have no file.
def data_file(text, folder) {
    return text && !text.startsWith('embedded:') ? find_file(text, folder) : []
}

workflow SCEVAL {
    take:
    sheet // datasets sheet
    models // models sheet
    settings // JSON of the parameters that decide about runs
    task_image // image of the steps that are not a task's own
    trace // trace file, the witness of tasks that left no record
    versions // JSON

    main:
    def folder = sheet.parent
    def rows = sheet.exists() ? sheet.splitCsv(header: true, quote: '"', strip: true) : []
    def paths = rows.collectMany { row -> [row.path ?: '', row.gene_sets ?: '', row.network ?: ''] }.unique().findAll { path -> path && !path.startsWith('embedded:') && find_file(path, folder).exists() }
    def staged = [:]
    paths.eachWithIndex { path, index -> staged[path] = "data${index + 1}/${find_file(path, folder).name}" }

    VALIDATE(task_image, sheet, models, paths.collect { path -> find_file(path, folder) }, groovy.json.JsonOutput.toJson(staged), settings)
    VALIDATE.out.notes.splitText().map { line -> line.trim() }.filter { line -> line }.view()
    INFO(VALIDATE.out.programs.splitJson().map { program -> [program, program.weights ? find_file(program.weights, models.parent) : []] })
    ch_infos = INFO.out.info.toSortedList { a, b -> a.name <=> b.name }
    PLAN(task_image, VALIDATE.out.datasets, VALIDATE.out.models, ch_infos, settings)

    ch_views = PLAN.out.views.splitJson().map { view -> [view_meta(view), data_file(view.path, folder), data_file(view.query_path, folder), view.more_paths.collect { path -> find_file(path, folder) }] }
    PREPARE(ch_views)

    // Runs that read another's output wait for that one alone.
    ch_rows = PLAN.out.runs
        .splitJson()
        .map { row -> [row.view_id, run_meta(row), row.weights ? find_file(row.weights, models.parent) : []] }
        .combine(PREPARE.out.view, by: 0)
        .branch { _view_id, row, _weights, _view, _solution ->
            second: row.needs
            shared: row.shared
            first: true
        }
    EMBED(ch_rows.shared.map { _view_id, row, weights, view, _solution -> [row, view, [], weights] })
    ch_first = ch_rows.first.map { _view_id, row, weights, view, solution -> [row, view, row.needs_solution ? solution : [], weights] }
    ch_second = ch_rows.second
        .map { _view_id, row, weights, view, _solution -> [row.needs, row, weights, view] }
        .combine(EMBED.out.output.map { run_id, output -> [run_id, output.parent] }, by: 0)
        .map { _needs, row, weights, view, upstream -> [row, view, upstream, weights] }
    RUN(ch_first.mix(ch_second))

    ch_outputs = EMBED.out.output.mix(RUN.out.output).map { run_id, output -> [run_id, output.parent] }
    ch_groups = PLAN.out.groups.splitJson()
    ch_scored_runs = ch_groups
        .flatMap { group -> group.runs.collect { run -> [run.output_of, group.group_id] } }
        .combine(ch_outputs, by: 0)
        .map { _run_id, group_id, output -> [group_id, output] }
        .groupTuple()
        .map { group_id, outputs -> [group_id, outputs.sort { output -> output.name }] }
    SCORE(
        ch_groups
            .map { group -> [group.group_id, group] }
            .combine(ch_scored_runs, by: 0)
            .map { _group_id, group, outputs -> [group.view_id, group_meta(group), outputs] }
            .combine(PREPARE.out.view, by: 0)
            .map { _view_id, group, outputs, view, solution -> [group, view, solution, outputs] }
    )

    ch_records = EMBED.out.record.mix(RUN.out.record).map { _run_id, record -> record }.toSortedList { a, b -> a.name <=> b.name }
    ch_scored = SCORE.out.scored.toSortedList { a, b -> a.name <=> b.name }
    COLLECT(task_image, PLAN.out.table, VALIDATE.out.datasets, ch_records, ch_scored, trace, versions)
    REPORT(task_image, COLLECT.out.tables)

    emit:
    report = REPORT.out.html
}
