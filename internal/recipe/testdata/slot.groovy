// Made by pitcrew.
freeStyleJob('pitcrew/{slot}-1') {
    description('''Cleans agents with recipe test, revision 9a8a0368dda0. Made by pitcrew: change the recipe and render it again.
pitcrew changes one field itself, just before each build: assignedNode, the agent that the build is for.
pitcrew-owner: owner-{1}
Who may configure this job may do everything on every agent.''')
    label('"linux 7 (big)"')
    concurrentBuild(false)
    logRotator {
        numToKeep(50)
    }
    parameters {
        stringParam('PITCREW_AGENT', '', 'The agent that this attempt was issued for.')
        stringParam('PITCREW_CONTROLLER', '', 'The controller that it was issued for.')
        stringParam('PITCREW_ATTEMPT', '', 'The number of the attempt.')
        stringParam('PITCREW_PHASES', 'all', 'all, or verify for that phase alone.')
        stringParam('PITCREW_DEPTH', 'standard', 'How deep to clean: light, standard or deep.')
        stringParam('PITCREW_JOB_CONTROLLER', 'ci {1}', 'The controller that this job was made for. Leave it alone.')
    }
    configure { project ->
        (project / 'properties' / 'hudson.model.ParametersDefinitionProperty' / 'parameterDefinitions') << 'hudson.model.PasswordParameterDefinition' {
            name('PITCREW_NONCE')
            description('Proves that the report is of this attempt.')
            defaultValue('')
        }
    }
    steps {
        shell([
            '''