// SPDX-License-Identifier: Apache-2.0

package pitcrew.agent;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Ends processes the way hudson.util.ProcessTree does: found by environment, children first, SIGTERM only. */
final class ProcessTree {
    /** How long a process that was told to end is waited for (Jenkins: two minutes). It is never killed by force. */
    private static final long PATIENCE_NANOS = 5_000_000_000L;

    private static final long FIRST_LOOK_MILLIS = 5;
    private static final long LAST_LOOK_MILLIS = 200;

    private ProcessTree() {}

    /** Ends every process whose environment contains all the given NAME=VALUE lines, with its children. */
    static void killMatching(List<String> wanted) throws InterruptedException {
        if (wanted.isEmpty()) {
            return; // everything matches nothing: that would be a rampage
        }
        List<ProcessHandle> all = ProcessHandle.allProcesses().toList();
        for (ProcessHandle process : all) {
            if (environment(process.pid()).containsAll(wanted)) {
                killRecursively(process);
            }
        }
    }

    static void killRecursively(ProcessHandle process) throws InterruptedException {
        for (ProcessHandle child : process.children().toList()) {
            killRecursively(child);
        }
        if (process.pid() == ProcessHandle.current().pid()) {
            return; // an agent that was itself started by a build of this controller
        }
        process.destroy();
        long deadline = System.nanoTime() + PATIENCE_NANOS;
        long pause = FIRST_LOOK_MILLIS;
        while (isAlive(process.pid()) && System.nanoTime() < deadline) {
            Thread.sleep(pause);
            pause = Math.min(pause * 2, LAST_LOOK_MILLIS);
        }
    }

    /** A zombie counts as gone: who reaps it is not our business. */
    private static boolean isAlive(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc/" + pid + "/stat"), StandardCharsets.ISO_8859_1);
            return stat.charAt(stat.lastIndexOf(')') + 2) != 'Z';
        } catch (IOException | IndexOutOfBoundsException e) {
            return false;
        }
    }

    /** Empty when it may not be read. */
    private static Set<String> environment(long pid) {
        try {
            byte[] block = Files.readAllBytes(Path.of("/proc/" + pid + "/environ"));
            return new HashSet<>(List.of(new String(block, StandardCharsets.UTF_8).split("\0")));
        } catch (IOException e) {
            return Set.of();
        }
    }
}
