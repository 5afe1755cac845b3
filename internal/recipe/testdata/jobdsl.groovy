// SPDX-License-Identifier: Apache-2.0
// Plays the Job DSL plugin: takes every method, runs every closure, and prints what shell steps are given.
class Sink {
	def methodMissing(String name, args) {
		if (name == 'shell') System.out.write(args[0].getBytes('UTF-8'))
		args.findAll { it instanceof Closure }.each { closure ->
			closure.delegate = this
			closure.resolveStrategy = Closure.DELEGATE_FIRST
			closure.call(this)
		}
		this
	}
	def div(path) { this }
	def leftShift(node) { this }
}
def sink = new Sink()
def script = new GroovyShell().parse(new File(args[0]))
script.metaClass.methodMissing = { String name, given -> sink.methodMissing(name, given) }
script.run()
System.out.flush()
