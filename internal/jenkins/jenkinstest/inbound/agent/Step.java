// SPDX-License-Identifier: Apache-2.0

package pitcrew.agent;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** One shell step, run as hudson.tasks.Shell and hudson.Launcher run it. */
final class Step {
    /** How long a process that left its output open to a child delays the end of the step. */
    private static final long LEAK_WAIT_MILLIS = 10_000;

    private static final List<String> OWN_SHELL = List.of("/bin/sh", "-xe");

    private static final String LEAKED = "Process leaked file descriptors. See "
            + "https://www.jenkins.io/redirect/troubleshooting/process-leaked-file-descriptors for more information\n";

    /** Where the output goes while the step runs. */
    interface Output {
        void write(byte[] data) throws IOException;
    }

    private final Path directory;
    private final String script;
    private final List<String> interpreter;
    private final List<String> environment;
    private final Output output;

    /**
     * A directory that is relative is so to where this process was started, as that of a node with a relative root
     * (hudson.slaves.SlaveComputer#setChannel), and WORKSPACE tells the absolute one.
     *
     * Fields: directory, script, number of words of the interpreter's command line (0: our own shell), these
     * words, then NAME=VALUE lines on top of our own environment.
     */
    Step(List<String> fields, Output output) {
        this.directory = Path.of(fields.get(0)).toAbsolutePath().normalize();
        this.script = fields.get(1);
        int words = Integer.parseInt(fields.get(2));
        this.interpreter = words == 0 ? OWN_SHELL : fields.subList(3, 3 + words);
        this.environment = fields.subList(3 + words, fields.size());
        this.output = output;
    }

    int run() throws IOException, InterruptedException {
        Files.createDirectories(directory);
        // Not in the workspace: cleaning the workspace must not pull the script away from under its shell.
        File file = File.createTempFile("jenkins", ".sh");
        try {
            Files.writeString(file.toPath(), script);
            List<String> command = command(file.getPath());
            announce(command);
            return execute(command);
        } finally {
            Files.deleteIfExists(file.toPath());
        }
    }

    private List<String> command(String file) {
        List<String> command = new ArrayList<>(interpreter);
        command.add(file);
        return command;
    }

    private void announce(List<String> command) throws IOException {
        String line = "[" + directory.getFileName() + "] $ " + String.join(" ", command) + "\n";
        output.write(line.getBytes(StandardCharsets.UTF_8));
    }

    private int execute(List<String> command) throws IOException, InterruptedException {
        String cookie = UUID.randomUUID().toString();
        Process process = start(command, cookie);
        process.getOutputStream().close();
        Thread copier = new Thread(() -> copy(process.getInputStream()), "output of " + process.pid());
        copier.setDaemon(true);
        copier.start();
        try {
            int status = process.waitFor();
            copier.join(LEAK_WAIT_MILLIS);
            if (copier.isAlive()) {
                output.write(LEAKED.getBytes(StandardCharsets.UTF_8));
            }
            return status;
        } catch (InterruptedException e) {
            ProcessTree.killRecursively(process.toHandle());
            ProcessTree.killMatching(List.of("HUDSON_COOKIE=" + cookie));
            throw e;
        }
    }

    private Process start(List<String> command, String cookie) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(command).directory(directory.toFile()).redirectErrorStream(true);
        Map<String, String> env = builder.environment();
        for (String line : environment) {
            int equals = line.indexOf('=');
            env.put(line.substring(0, equals), line.substring(equals + 1));
        }
        if (!Path.of(env.getOrDefault("WORKSPACE", "/")).isAbsolute()) {
            env.put("WORKSPACE", directory.toString());
        }
        env.put("HUDSON_COOKIE", cookie);
        return builder.start();
    }

    private void copy(InputStream in) {
        byte[] buffer = new byte[8192];
        boolean lost = false;
        try (in) {
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                lost = lost || !deliver(Arrays.copyOf(buffer, n));
            }
        } catch (IOException e) {
            Main.status("Output ended: " + e);
        }
    }

    /** False once the connection is gone: the process must go on and must not block on a full pipe. */
    private boolean deliver(byte[] data) {
        try {
            output.write(data);
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
