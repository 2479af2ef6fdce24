// Runs a study with Nextflow (DSL 2): slides in shards, then the fits.
//
//     nextflow run deploy/main.nf --study /data/study --shards 50
//
// The study folder is used in place and must have the same path on every node. A task that runs again does only the work that is left.
// Slides that fail (exit code 4) do not stop the others; `pathosig status` lists them.

nextflow.enable.dsl = 2

params.study = null
params.shards = 4
params.cpus = 4
params.memory = '16 GB'
params.train = false
params.pathosig = 'pathosig'

process SLIDES {
    tag "${shard}/${shards}"
    cpus params.cpus
    memory params.memory
    maxRetries 2
    errorStrategy 'retry'

    input:
    tuple val(study), val(shard), val(shards)

    output:
    val shard

    script:
    """
    ${params.pathosig} run '${study}' --until embed --shard ${shard}/${shards} --workers ${task.cpus} || test \$? -eq 4
    """
}

process TRAIN {
    cpus params.cpus
    memory params.memory

    input:
    val study
    val shards

    output:
    val study

    script:
    """
    ${params.pathosig} run '${study}' --until train --workers ${task.cpus} || test \$? -eq 4
    """
}

process EMBED {
    tag "${shard}/${shards}"
    cpus params.cpus
    memory params.memory
    maxRetries 2
    errorStrategy 'retry'

    input:
    tuple val(study), val(shard), val(shards)

    output:
    val shard

    script:
    """
    ${params.pathosig} run '${study}' --until embed --shard ${shard}/${shards} --workers ${task.cpus} || test \$? -eq 4
    """
}

process FITS {
    cpus params.cpus
    memory params.memory

    input:
    val study
    val shards

    output:
    val study

    script:
    """
    ${params.pathosig} run '${study}' --workers ${task.cpus} || test \$? -eq 4
    """
}

workflow {
    if (!params.study) {
        error 'Give the study folder: --study /data/study'
    }
    study = file(params.study, checkIfExists: true).toAbsolutePath().toString()
    shards = channel.of(1..params.shards).map { shard -> tuple(study, shard, params.shards) }
    slides = SLIDES(shards).collect()
    if (params.train) {
        trained = TRAIN(study, slides)
        embedded = EMBED(trained.flatMap { folder -> (1..params.shards).collect { shard -> tuple(folder, shard, params.shards) } })
        FITS(study, embedded.collect())
    } else {
        FITS(study, slides)
    }
}
