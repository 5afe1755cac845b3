// SPDX-License-Identifier: Apache-2.0

package pitcrew.agent;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * One connection: reads calls and answers them. A call is answered by any number of OUTPUT records and one
 * DONE record that carries its number. Steps live on when the connection is lost, as they do in Jenkins.
 */
final class Session {
    private static final byte RUN = 1;
    private static final byte STOP = 2;
    private static final byte KILL = 3;
    private static final byte WRITE = 4;
    private static final byte HELLO = 16;
    private static final byte OUTPUT = 17;
    private static final byte DONE = 18;

    private final WebSocket socket;
    private final Map<Integer, Thread> running = new ConcurrentHashMap<>();

    Session(WebSocket socket) {
        this.socket = socket;
    }

    /** Serves until the connection ends, for whatever reason. */
    void serve() {
        try (DataInputStream in = new DataInputStream(socket)) {
            send(HELLO, 0, fields(String.valueOf(ProcessHandle.current().pid()), System.getProperty("java.io.tmpdir"),
                    System.getProperty("os.name"), System.getProperty("os.arch")));
            while (true) {
                byte[] payload = new byte[in.readInt()];
                byte kind = in.readByte();
                int call = in.readInt();
                in.readFully(payload);
                receive(kind, call, payload);
            }
        } catch (IOException e) {
            Main.status("Connection ended: " + e);
        }
    }

    private void receive(byte kind, int call, byte[] payload) {
        switch (kind) {
            case RUN -> start(call, () -> new Step(strings(payload), output -> send(OUTPUT, call, output)).run());
            case KILL -> start(call, () -> {
                ProcessTree.killMatching(strings(payload));
                return 0;
            });
            case WRITE -> start(call, () -> {
                write(payload);
                return 0;
            });
            case STOP -> {
                Thread thread = running.get(call);
                if (thread != null) {
                    thread.interrupt();
                }
            }
            default -> Main.status("Ignoring a record of kind " + kind);
        }
    }

    private interface Work {
        int perform() throws IOException, InterruptedException;
    }

    private void start(int call, Work work) {
        Thread thread = new Thread(() -> {
            int status = -1;
            String error = "";
            try {
                status = work.perform();
            } catch (InterruptedException e) {
                error = "interrupted";
            } catch (IOException | RuntimeException e) {
                error = e.toString();
            } finally {
                running.remove(call);
            }
            finish(call, status, error);
        }, "call " + call);
        running.put(call, thread);
        thread.start();
    }

    private void finish(int call, int status, String error) {
        try {
            send(DONE, call, fields(String.valueOf(status), error));
        } catch (IOException e) {
            Main.status("Result of call " + call + " is lost: " + e);
        }
    }

    /** Begins a file in place of what was there, or goes on with it: large ones come in pieces. */
    private static void write(byte[] payload) throws IOException {
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(payload));
        Path file = Path.of(new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8));
        boolean begin = in.readBoolean();
        Files.createDirectories(file.getParent());
        if (begin && !Files.isDirectory(file)) {
            Files.deleteIfExists(file);
        }
        Files.write(file, in.readAllBytes(), StandardOpenOption.CREATE,
                begin ? StandardOpenOption.TRUNCATE_EXISTING : StandardOpenOption.APPEND, StandardOpenOption.WRITE);
    }

    private void send(byte kind, int call, byte[] payload) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        out.writeInt(payload.length);
        out.writeByte(kind);
        out.writeInt(call);
        out.write(payload);
        socket.send(bytes.toByteArray());
    }

    private static byte[] fields(String... values) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        for (String value : values) {
            byte[] text = value.getBytes(StandardCharsets.UTF_8);
            out.writeInt(text.length);
            out.write(text);
        }
        return bytes.toByteArray();
    }

    private static List<String> strings(byte[] payload) {
        List<String> values = new ArrayList<>();
        ByteBuffer in = ByteBuffer.wrap(payload);
        while (in.hasRemaining()) {
            byte[] text = new byte[in.getInt()];
            in.get(text);
            values.add(new String(text, StandardCharsets.UTF_8));
        }
        return values;
    }
}
