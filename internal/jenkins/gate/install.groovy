// SPDX-License-Identifier: Apache-2.0
//
// Puts the gate into a running Jenkins, by the script console: registers it, and writes it where Jenkins finds it at its next
// start. What it did stands in lines that begin with @SENTINEL@.

import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.security.MessageDigest
import jenkins.model.Jenkins

byte[] text = ([@TEXT@].join('')).decodeBase64()
String digest = MessageDigest.getInstance('SHA-256').digest(text).encodeHex().toString()
println '@SENTINEL@ text ' + digest

// With the class loader of init scripts, and imports of its own alone, as there.
def said = new GroovyShell(Jenkins.get().pluginManager.uberClassLoader, new Binding(out: out))
    .evaluate(new String(text, StandardCharsets.UTF_8), 'PitcrewGateScript.groovy') // no class of it is called so
println '@SENTINEL@ registered'

Path dir = Jenkins.get().rootDir.toPath().resolve('init.groovy.d')
Path file = dir.resolve('@FILE@')
if (@WRITE@) {
    Files.createDirectories(dir)
    Path fresh = Files.createTempFile(dir, '.pitcrew-gate', '.new') // which Jenkins would not run
    try {
        Files.write(fresh, text)
        Files.move(fresh, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE)
    } finally {
        Files.deleteIfExists(fresh)
    }
}
if (Files.exists(file)) {
    String found = MessageDigest.getInstance('SHA-256').digest(Files.readAllBytes(file)).encodeHex()
    println '@SENTINEL@ file ' + found + ' ' + file
    if (found == digest) Jenkins.get().servletContext.getAttribute('pitcrew.gate').putAll(file: file.toString(), hook: 'console, and init script')
}
def others = (dir.toFile().listFiles({ File f -> f.name.endsWith('.groovy') && f.name != '@FILE@' } as FileFilter) ?: []) + new File(Jenkins.get().rootDir, 'init.groovy')
for (File other : others) if (other.isFile() && other.getText('UTF-8').contains('class PitcrewRegistration')) println '@SENTINEL@ another ' + other
