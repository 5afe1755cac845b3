// SPDX-License-Identifier: Apache-2.0

package pitcrew.agent;

import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URL;
import java.time.Duration;
import java.time.Instant;

/**
 * The inbound agent of a test controller: a real process with the options, retries and exit status of
 * Jenkins' own agent.jar, which takes its work over a protocol of our own (see protocol.go).
 */
public final class Main {
    /** Announced to the controller, so that neither side mistakes a real agent.jar for this one. */
    static final String CAPABILITY = "pitcrew-1";

    private static final Duration MAX_DELAY = Duration.ofSeconds(10);

    private final Options options;

    /** Given by the controller on connection; lets this very process, and no other, take its place again. */
    private String cookie;

    private Main(Options options) {
        this.options = options;
    }

    public static void main(String[] args) throws Exception {
        Options options;
        try {
            options = Options.parse(args);
        } catch (Options.UsageException e) {
            // hudson.remoting.Launcher#main prints the usage and returns: exit status 0.
            System.err.println(e.getMessage());
            System.err.println("java -jar agent.jar [options...]");
            System.err.println(Options.USAGE);
            return;
        } catch (Options.UnsupportedException e) {
            System.err.println("agent: " + e.getMessage());
            System.exit(2);
            return;
        }
        if (options.version) {
            System.out.println(CAPABILITY);
        } else if (options.help) {
            System.out.println(Options.USAGE);
        } else {
            new Main(options).run();
            // Threads of steps that still run must not keep the process of an agent that gave up.
            System.exit(0);
        }
    }

    /** Connects again and again; returns when -noReconnect or -noReconnectAfter say so. */
    private void run() throws Exception {
        options.prepareWorkDir();
        status("Setting up agent: " + options.name);
        while (true) {
            // Both waits are unbounded without -noReconnectAfter, whatever -noReconnect says
            // (hudson.remoting.Engine#runWebSocket): only a lost connection ends such an agent.
            if (!retry(this::loginAnswers)) {
                return;
            }
            Session[] session = new Session[1];
            if (!retry(() -> (session[0] = connect()) != null)) {
                return;
            }
            status("Connected");
            session[0].serve();
            status("Terminated");
            if (options.noReconnect) {
                return;
            }
        }
    }

    private Session connect() throws IOException {
        WebSocket socket = WebSocket.open(options.url, options.headers(CAPABILITY, cookie));
        cookie = socket.responseHeader("Connection-Cookie");
        return new Session(socket);
    }

    private boolean loginAnswers() throws IOException {
        URL login = new URL(options.url, "login");
        HttpURLConnection connection = (HttpURLConnection) login.openConnection();
        try {
            int code = connection.getResponseCode();
            if (code != HttpURLConnection.HTTP_OK) {
                status(login + " is not ready: " + code);
            }
            return code == HttpURLConnection.HTTP_OK;
        } finally {
            connection.disconnect();
        }
    }

    private interface Attempt {
        boolean succeeds() throws IOException;
    }

    /** Tries at once, then after 1, 3, 7, 10, 10... seconds; false when -noReconnectAfter has passed. */
    private boolean retry(Attempt attempt) throws InterruptedException {
        Instant beginning = Instant.now();
        Duration delay = Duration.ZERO;
        while (true) {
            try {
                if (attempt.succeeds()) {
                    return true;
                }
            } catch (IOException e) {
                status("Failed to connect: " + e.getMessage());
            }
            delay = delay.multipliedBy(2).plusSeconds(1);
            if (delay.compareTo(MAX_DELAY) > 0) {
                delay = MAX_DELAY;
            }
            Duration spent = Duration.between(beginning, Instant.now());
            if (options.noReconnectAfter != null && spent.compareTo(options.noReconnectAfter) > 0) {
                status("Bailing out after " + options.noReconnectAfter.toSeconds() + " seconds");
                return false;
            }
            status("Waiting " + delay.toSeconds() + " seconds before retry");
            Thread.sleep(delay.toMillis());
        }
    }

    static void status(String message) {
        System.err.println("INFO: " + message);
    }
}
