include { VALIDATE } from '../modules/validate/main'
include { INFO } from '../modules/info/main'
include { PLAN } from '../modules/plan/main'
include { FETCH_WEIGHTS } from '../modules/fetch_weights/main'
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

// Where the weights of a row are: in the folder that runs share where the catalogue knows the name, else in the user's own.
def weights_place(text, folder, entries, cache) {
    if (!text) {
        return []
    }
    def place = entries.containsKey(text) ? cache.resolve(text) : find_file(text, folder)
    if (!entries.containsKey(text) && !place.exists()) {
        error("models sheet, column weights: '${text}' is neither a folder nor a name of the weights catalogue (${entries.keySet().join(', ')})")
    }
    return place
}

// Programs are asked for the genes of weights that are there; those that are fetched first are checked by the run itself.
def weights_here(text, folder, entries, cache) {
    def place = weights_place(text, folder, entries, cache)
    return (entries[text] ?: []).every { entry -> place.resolve(entry.file).exists() } ? place : []
}

// Embedded cells have no file.
def data_file(text, folder) {
    return text && !text.startsWith('embedded:') ? find_file(text, folder) : []
}

workflow SCEVAL {
    take:
    sheet // datasets sheet
    models // models sheet
    store // map: catalogue of weights, cache, allow_unverified
    settings // JSON of the parameters that decide about runs
    task_image // image of the steps that are not a task's own
    trace // trace file, the witness of tasks that left no record
    versions // JSON

    main:
    def folder = sheet.parent
    def rows = sheet.exists() ? sheet.splitCsv(header: true, quote: '"', strip: true) : []
    def paths = rows.collectMany { row -> [row.path ?: '', row.gene_sets ?: '', row.network ?: '', row.second ?: '', row.gene_positions ?: '', row.label_map ?: ''] }.unique().findAll { path -> path && !path.startsWith('embedded:') && find_file(path, folder).exists() }
    def staged = [:]
    paths.eachWithIndex { path, index -> staged[path] = "data${index + 1}/${find_file(path, folder).name}" }

    def entries = store.catalogue.splitCsv(header: true, quote: '"', strip: true).groupBy { entry -> entry.weights }
    def cache = store.cache.toAbsolutePath()

    VALIDATE(task_image, sheet, models, paths.collect { path -> find_file(path, folder) }, groovy.json.JsonOutput.toJson(staged), settings, store.catalogue)
    VALIDATE.out.notes.splitText().map { line -> line.trim() }.filter { line -> line }.view()
    INFO(VALIDATE.out.programs.splitJson().map { program -> [program, weights_here(program.weights, models.parent, entries, cache)] })
    ch_infos = INFO.out.info.toSortedList { a, b -> a.name <=> b.name }
    PLAN(task_image, VALIDATE.out.datasets, VALIDATE.out.models, ch_infos, settings)

    ch_views = PLAN.out.views.splitJson().map { view -> [view_meta(view), data_file(view.path, folder), data_file(view.query_path, folder), view.more_paths.collect { path -> find_file(path, folder) }] }
    PREPARE(ch_views)

    // Weights of the catalogue: one task a file, for the runs that are planned; these wait for their own files alone.
    ch_planned = PLAN.out.runs.splitJson().branch { row ->
        fetched: row.fetch
        here: true
    }
    ch_files = ch_planned.fetched
        .map { row -> row.weights }
        .unique()
        .flatMap { name -> entries[name].collect { entry -> [weights: name, file: entry.file, receipt: "${name}.${entry.file.replaceAll('[^A-Za-z0-9_.-]', '-')}.json"] } }
        .map { meta -> cache.mkdirs() ? meta : meta }
    FETCH_WEIGHTS(task_image, ch_files, store.catalogue, ch_files.first().map { _meta -> cache }, store.allow_unverified)
    ch_ready = FETCH_WEIGHTS.out.receipt
        .map { name, receipt -> [groupKey(name, entries[name].size()), name, new groovy.json.JsonSlurper().parseText(receipt.text).ok] }
        .groupTuple()
        .filter { _key, _names, good -> good.every() }
        .map { _key, names, _good -> [names[0], true] }
    ch_cleared = ch_planned.fetched
        .map { row -> [row.weights, row] }
        .combine(ch_ready, by: 0)
        .map { _name, row, _ready -> row }

    // Runs that read another's output wait for that one alone.
    ch_rows = ch_planned.here
        .mix(ch_cleared)
        .map { row -> [row.view_id, run_meta(row), weights_place(row.weights, models.parent, entries, cache)] }
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
    ch_fetched = FETCH_WEIGHTS.out.receipt.map { _name, receipt -> receipt }.toSortedList { a, b -> a.name <=> b.name }
    COLLECT(task_image, PLAN.out.table, VALIDATE.out.datasets, PLAN.out.models, ch_records, ch_scored, ch_fetched, trace, versions)
    REPORT(task_image, COLLECT.out.tables)

    emit:
    report = REPORT.out.html
}
