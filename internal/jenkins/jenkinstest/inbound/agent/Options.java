// SPDX-License-Identifier: Apache-2.0

package pitcrew.agent;

import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The command line, as hudson.remoting.Launcher understands it. */
final class Options {
    static final String USAGE = String.join("\n",
            " -url URL                   : root URL of the controller",
            " -secret HEX_SECRET         : agent connection secret",
            " -name NAME                 : name of the agent",
            " -webSocket                 : connect by WebSocket (required, there is no TCP here)",
            " -webSocketHeader NAME=VALUE: additional header of the WebSocket request, repeatable",
            " -workDir DIR               : working directory, the remote root of the agent",
            " -internalDir NAME          : directory inside -workDir ('remoting' by default)",
            " -failIfWorkDirIsMissing    : fail if one of these directories is missing",
            " -noReconnect               : exit when an established connection is lost",
            " -noReconnectAfter DURATION : exit after so long without a connection, such as 30s",
            " -jar-cache, -loggingConfig, -agentLog VALUE: accepted, without effect",
            " -help, -version",
            "An argument @FILE stands for the lines of that file, one argument each.");

    private static final Pattern SIMPLE_DURATION = Pattern.compile("(\\d+)(ms|s|m|h|d)?");

    URL url;
    String secret;
    String name;
    boolean webSocket;
    Path workDir;
    String internalDir = "remoting";
    boolean failIfWorkDirIsMissing;
    boolean noReconnect;
    Duration noReconnectAfter;
    boolean help;
    boolean version;
    private final Map<String, String> webSocketHeaders = new LinkedHashMap<>();

    /** A command line that the real agent refuses, too. */
    static final class UsageException extends Exception {
        private static final long serialVersionUID = 1;

        UsageException(String message) {
            super(message);
        }
    }

    /** An option of the real agent that this one cannot honour. */
    static final class UnsupportedException extends Exception {
        private static final long serialVersionUID = 1;

        UnsupportedException(String option) {
            super(option + " is not supported by this agent, which only makes plain WebSocket connections");
        }
    }

    static Options parse(String[] args) throws UsageException, UnsupportedException {
        Options options = new Options();
        List<String> positional = new ArrayList<>();
        List<String> arguments = expandFiles(args);
        for (int i = 0; i < arguments.size(); i++) {
            String option = arguments.get(i);
            if (!option.startsWith("-")) {
                positional.add(option);
            } else if (!options.flag(option)) {
                if (i + 1 == arguments.size()) {
                    throw new UsageException("Option \"" + option + "\" takes an operand");
                }
                options.value(option, arguments.get(++i));
            }
        }
        options.takePositional(positional);
        if (!options.help && !options.version) {
            options.validate();
        }
        return options;
    }

    /** Any argument @FILE is replaced, the operand of -secret included. */
    private static List<String> expandFiles(String[] args) throws UsageException {
        List<String> expanded = new ArrayList<>();
        for (String arg : args) {
            if (!arg.startsWith("@")) {
                expanded.add(arg);
                continue;
            }
            try {
                expanded.addAll(Files.readAllLines(Path.of(arg.substring(1)), StandardCharsets.UTF_8));
            } catch (IOException e) {
                throw new UsageException("No such file: " + arg.substring(1));
            }
        }
        return expanded;
    }

    private boolean flag(String option) throws UnsupportedException {
        switch (option) {
            case "-webSocket" -> webSocket = true;
            case "-failIfWorkDirIsMissing" -> failIfWorkDirIsMissing = true;
            case "-noReconnect", "-noreconnect" -> noReconnect = true;
            case "-help" -> help = true;
            case "-version" -> version = true;
            case "-headless", "-ping" -> { }
            case "-text", "-noKeepAlive", "-noCertificateCheck", "-disableHttpsCertValidation" ->
                    throw new UnsupportedException(option);
            default -> {
                return false;
            }
        }
        return true;
    }

    private void value(String option, String value) throws UsageException, UnsupportedException {
        switch (option) {
            case "-url" -> takeUrl(value);
            case "-secret" -> secret = value;
            case "-name" -> name = value;
            case "-workDir" -> workDir = Path.of(value);
            case "-internalDir" -> internalDir = value;
            case "-noReconnectAfter" -> noReconnectAfter = duration(value);
            case "-webSocketHeader" -> takeHeader(value);
            case "-jar-cache", "-loggingConfig", "-agentLog" -> { }
            case "-tunnel", "-direct", "-directConnection", "-instanceIdentity", "-protocols", "-cert",
                    "-credentials", "-jnlpCredentials", "-proxyCredentials", "-jnlpUrl", "-connectTo", "-tcp" ->
                    throw new UnsupportedException(option);
            default -> throw new UsageException("\"" + option + "\" is not a valid option");
        }
    }

    private void takeUrl(String value) throws UsageException {
        if (url != null) {
            throw new UsageException("Only a single URL is supported for WebSocket agents");
        }
        try {
            url = new URL(value.endsWith("/") ? value : value + "/");
        } catch (MalformedURLException e) {
            throw new UsageException("\"" + value + "\" is not a valid value for \"-url\"");
        }
    }

    private void takeHeader(String value) throws UsageException {
        int equals = value.indexOf('=');
        if (equals < 1) {
            throw new UsageException("\"" + value + "\" is not a valid value for \"-webSocketHeader\"");
        }
        webSocketHeaders.put(value.substring(0, equals), value.substring(equals + 1));
    }

    /** The oldest way to call an agent: secret and name without options. */
    private void takePositional(List<String> positional) throws UsageException {
        if (positional.isEmpty()) {
            return;
        }
        if (positional.size() != 2) {
            throw new UsageException("Two arguments required, but got " + positional.size());
        }
        if (secret != null || name != null) {
            throw new UsageException("Cannot provide secret or name via both named and positional arguments");
        }
        secret = positional.get(0);
        name = positional.get(1);
    }

    private void validate() throws UsageException, UnsupportedException {
        if (noReconnect && noReconnectAfter != null) {
            throw new UsageException("option \"-noReconnectAfter\" cannot be used with the option(s) [-noReconnect]");
        }
        if (workDir == null && failIfWorkDirIsMissing) {
            throw new UsageException("option \"-failIfWorkDirIsMissing\" requires the option(s) [-workDir]");
        }
        if (secret == null) {
            throw new UsageException("Secret is required for inbound agents");
        }
        if (name == null) {
            throw new UsageException("Name is required for inbound agents");
        }
        if (url == null) {
            throw new UsageException("At least one URL is required for inbound agents");
        }
        if (!webSocket) {
            throw new UnsupportedException("a connection without -webSocket");
        }
    }

    private static Duration duration(String value) throws UsageException {
        Matcher simple = SIMPLE_DURATION.matcher(value);
        try {
            if (!simple.matches()) {
                return Duration.parse(value);
            }
            long n = Long.parseLong(simple.group(1));
            String unit = simple.group(2) == null ? "ms" : simple.group(2);
            return switch (unit) {
                case "s" -> Duration.ofSeconds(n);
                case "m" -> Duration.ofMinutes(n);
                case "h" -> Duration.ofHours(n);
                case "d" -> Duration.ofDays(n);
                default -> Duration.ofMillis(n);
            };
        } catch (DateTimeParseException | NumberFormatException e) {
            throw new UsageException("\"" + value + "\" is not a valid value for \"-noReconnectAfter\"");
        }
    }

    /** Makes the directories of -workDir, or fails when they must be there already. */
    void prepareWorkDir() throws IOException {
        if (workDir == null) {
            return;
        }
        Path internal = workDir.resolve(internalDir);
        for (Path dir : List.of(workDir, internal)) {
            if (failIfWorkDirIsMissing && !Files.isDirectory(dir)) {
                throw new IOException("The directory " + dir + " is missing, but it is expected to exist");
            }
        }
        Files.createDirectories(internal.resolve("jarCache"));
        Files.createDirectories(internal.resolve("logs"));
        Main.status("Using " + internal.toAbsolutePath() + " as a remoting work directory");
    }

    /** The headers that introduce this agent to the controller. */
    Map<String, String> headers(String capability, String cookie) {
        Map<String, String> headers = new LinkedHashMap<>(webSocketHeaders);
        headers.put("Node-Name", name);
        headers.put("Secret-Key", secret);
        headers.put("X-Remoting-Capability", capability);
        if (cookie != null) {
            headers.put("Connection-Cookie", cookie);
        }
        return headers;
    }
}
