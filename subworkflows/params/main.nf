// Help and check of parameters, made from nextflow_schema.json. No plugin: plain functions.

def all_properties(schema) {
    return schema['$defs'].values().collectMany { group -> group.properties.collect { name, spec -> [name, spec] } }.collectEntries()
}

def read_schema(path) {
    return new groovy.json.JsonSlurper().parse(new File(path))
}

// Number of single edits that turn one word into another (Levenshtein).
def distance(a, b) {
    def first = (0..b.size()).toList()
    def last = (0..<a.size()).inject(first) { previous, i ->
        (0..<b.size()).inject([i + 1]) { row, j ->
            row + [[row[j] + 1, previous[j + 1] + 1, previous[j] + (a[i] == b[j] ? 0 : 1)].min()]
        }
    }
    return last[b.size()]
}

def nearest(name, known) {
    def best = known.min { word -> distance(name.toLowerCase(), word.toLowerCase()) }
    return distance(name.toLowerCase(), best.toLowerCase()) <= Math.max(2, name.size().intdiv(3)) ? " Did you mean --${best}?" : ''
}

def problem_of(name, value, spec) {
    def text = value.toString()
    if (spec.type == 'integer' && !(text ==~ /-?\d+/)) {
        return "--${name} is '${text}'; a whole number is expected"
    }
    if (spec.type == 'boolean' && !(text in ['true', 'false'])) {
        return "--${name} is '${text}'; true or false is expected"
    }
    if (spec.type == 'integer' && spec.minimum != null && (text as Long) < spec.minimum) {
        return "--${name} is ${text}; the smallest allowed value is ${spec.minimum}"
    }
    if (spec['enum'] && !(text in spec['enum'])) {
        return "--${name} is '${text}'; allowed are ${spec['enum'].join(', ')}." + nearest(text, spec['enum']).replace('--', '')
    }
    if (spec.format == 'file-path' && spec.exists && text && !file(text).exists()) {
        return "--${name}: there is no file ${text}"
    }
    return null
}

// What an executor cannot do without.
def needed_by(profile) {
    def needed = [awsbatch: ['aws_queue', 'aws_region', 'aws_workdir'], k8s: ['k8s_claim']]
    return profile.tokenize(',').collectMany { name -> (needed[name] ?: []).collect { word -> [name, word] } }
}

def check_params(given, path, profile) {
    def known = all_properties(read_schema(path))
    // --metrics-backend arrives as a parameter of its own and would be ignored without a word: it is refused too.
    def unknown = given.keySet().findAll { name -> !known.containsKey(name) }.collect { name -> "--${name} is not a parameter.${nearest(name, known.keySet())}" }
    def wrong = known.findAll { name, _spec -> given[name] != null }.collect { name, spec -> problem_of(name, given[name], spec) }.findAll { problem -> problem }
    def absent = known.findAll { name, spec -> spec.required_param && !given[name] }.collect { name, spec -> "--${name} is needed: ${spec.description}" }
    def lacking = needed_by(profile).findAll { _name, word -> !given[word] }.collect { name, word -> "--${word} is needed with -profile ${name}: ${known[word].description}" }
    def problems = unknown + wrong + absent + lacking
    if (problems) {
        error("\n  " + problems.join("\n  ") + "\n  All parameters: nextflow run . --help")
    }
}

def help_text(path) {
    def schema = read_schema(path)
    def lines = [schema.title, '', schema.description, '']
    def groups = schema['$defs'].values().collectMany { group ->
        ["${group.title}:"] + group.properties.collect { name, spec ->
            def allowed = spec['enum'] ? " (${spec['enum'].join(', ')})" : ''
            def value = spec.default != null && spec.default != '' ? " [${spec.default}]" : ''
            "  --${name.padRight(18)} ${spec.description}${allowed}${value}".toString()
        } + ['']
    }
    return (lines + groups).join('\n')
}

// The parameters that decide which runs are made, as JSON: outdir and the like must not change any task's hash.
def deciding_params(given) {
    def names = ['models', 'tasks', 'splits', 'regimes', 'seeds', 'control_seeds', 'split_seeds', 'device', 'time_limit', 'memory_mb', 'cpus', 'metrics_backend', 'score_batch', 'image_prefix', 'image_tag', 'local_programs', 'input', 'models_sheet']
    return groovy.json.JsonOutput.toJson(given.subMap(names))
}

def provenance(given, run) {
    return groovy.json.JsonOutput.toJson([nextflow: run.nextflow.version.toString(), profile: run.profile, started: run.start.toString(), command: run.commandLine, params: given])
}
