// SPDX-License-Identifier: Apache-2.0

package pitcrew.agent;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import javax.net.ssl.SSLSocketFactory;

/**
 * The client's half of RFC 6455, as much as a byte stream needs. The JDK's own client hides the headers of
 * the answer, of which we need one, and costs a third of this program's start-up.
 */
final class WebSocket extends InputStream {
    private static final int BINARY = 2;
    private static final int CLOSE = 8;
    private static final int PING = 9;
    private static final int PONG = 10;
    private static final int MAX_HEADER_LINE = 8192;

    private final Socket socket;
    private final DataInputStream in;
    private final OutputStream out;
    private final Map<String, String> responseHeaders = new HashMap<>();

    /** Bytes of the current data frame that were not read yet. */
    private long remaining;

    private WebSocket(Socket socket) throws IOException {
        this.socket = socket;
        this.in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
        this.out = socket.getOutputStream();
    }

    /** Upgrades wsagents/ below root; any status but 101 is an error that names it. */
    static WebSocket open(URL root, Map<String, String> headers) throws IOException {
        boolean secure = root.getProtocol().equals("https");
        int port = root.getPort() < 0 ? root.getDefaultPort() : root.getPort();
        Socket socket = secure
                ? SSLSocketFactory.getDefault().createSocket(root.getHost(), port)
                : new Socket(root.getHost(), port);
        try {
            socket.setTcpNoDelay(true);
            WebSocket result = new WebSocket(socket);
            result.handshake(root, headers);
            return result;
        } catch (IOException e) {
            socket.close();
            throw e;
        }
    }

    private void handshake(URL root, Map<String, String> headers) throws IOException {
        byte[] key = new byte[16];
        ThreadLocalRandom.current().nextBytes(key);
        StringBuilder request = new StringBuilder("GET " + root.getPath() + "wsagents/ HTTP/1.1\r\n");
        request.append("Host: ").append(root.getAuthority()).append("\r\n");
        request.append("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
        request.append("Sec-WebSocket-Key: ").append(Base64.getEncoder().encodeToString(key)).append("\r\n");
        headers.forEach((name, value) -> request.append(name).append(": ").append(value).append("\r\n"));
        out.write(request.append("\r\n").toString().getBytes(StandardCharsets.UTF_8));
        String status = line();
        if (!status.startsWith("HTTP/1.1 101 ")) {
            throw new IOException("Handshake error: " + status);
        }
        for (String header = line(); !header.isEmpty(); header = line()) {
            int colon = header.indexOf(':');
            if (colon > 0) {
                responseHeaders.put(header.substring(0, colon).toLowerCase(Locale.ROOT), header.substring(colon + 1).trim());
            }
        }
    }

    private String line() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int b = in.readUnsignedByte(); b != '\n'; b = in.readUnsignedByte()) {
            if (line.size() > MAX_HEADER_LINE) {
                throw new IOException("header line is too long");
            }
            if (b != '\r') {
                line.write(b);
            }
        }
        return line.toString(StandardCharsets.UTF_8);
    }

    /** A header of the controller's answer, or null. */
    String responseHeader(String name) {
        return responseHeaders.get(name.toLowerCase(Locale.ROOT));
    }

    /** Sends data as one binary frame. */
    void send(byte[] data) throws IOException {
        frame(BINARY, data);
    }

    private synchronized void frame(int opcode, byte[] data) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(data.length + 14);
        frame.put((byte) (0x80 | opcode));
        if (data.length < 126) {
            frame.put((byte) (0x80 | data.length));
        } else if (data.length < 0x10000) {
            frame.put((byte) (0x80 | 126)).putShort((short) data.length);
        } else {
            frame.put((byte) (0x80 | 127)).putLong(data.length);
        }
        byte[] mask = ByteBuffer.allocate(4).putInt(ThreadLocalRandom.current().nextInt()).array();
        frame.put(mask);
        for (int i = 0; i < data.length; i++) {
            frame.put((byte) (data[i] ^ mask[i & 3]));
        }
        out.write(frame.array(), 0, frame.position());
        out.flush();
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    /** Reads on through the payloads of data frames; the end of the connection is the end of the stream. */
    @Override
    public int read(byte[] buffer, int offset, int length) throws IOException {
        while (remaining == 0) {
            if (!nextFrame()) {
                return -1;
            }
        }
        int n = in.read(buffer, offset, (int) Math.min(length, remaining));
        if (n > 0) {
            remaining -= n;
        }
        return n;
    }

    /** Reads a frame's header, and the whole frame if it is a control frame; false at the end. */
    private boolean nextFrame() throws IOException {
        int opcode;
        long size;
        try {
            opcode = in.readUnsignedByte() & 0x0f;
            size = in.readUnsignedByte() & 0x7f;
            if (size == 126) {
                size = in.readUnsignedShort();
            } else if (size == 127) {
                size = in.readLong();
            }
        } catch (EOFException e) {
            return false;
        }
        if (opcode < CLOSE) {
            remaining = size;
            return true;
        }
        byte[] payload = new byte[(int) size];
        in.readFully(payload);
        if (opcode == PING) {
            frame(PONG, payload);
        }
        return opcode != CLOSE;
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
