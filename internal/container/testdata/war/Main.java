// SPDX-License-Identifier: Apache-2.0

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;

/** Starts as jenkins.war does, as far as its command line, its home and its readiness are concerned. */
public final class Main {
    private static String option(String[] args, String name) {
        for (String arg : args) {
            if (arg.startsWith("--" + name + "=")) return arg.substring(name.length() + 3);
        }
        throw new IllegalArgumentException("no option --" + name);
    }

    private static void answer(HttpExchange exchange, int status) throws IOException {
        exchange.getResponseHeaders().set("X-Jenkins", "2.541.3");
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    public static void main(String[] args) throws Exception {
        Path seed = Path.of(System.getProperty("JENKINS_HOME"), "pitcrew-seed");
        String user = Files.readString(seed.resolve("user")).trim();
        String token = Files.readString(seed.resolve("token")).trim();
        Files.delete(seed.resolve("token"));
        if (System.getenv("PITCREW_TEST_SECRET") != null) throw new IllegalStateException("it got our environment");
        String want = "Basic " + Base64.getEncoder().encodeToString((user + ":" + token).getBytes(StandardCharsets.UTF_8));
        Files.createDirectories(Path.of(option(args, "webroot")));
        HttpServer server = HttpServer.create(
            new InetSocketAddress(option(args, "httpListenAddress"), Integer.parseInt(option(args, "httpPort"))), 0);
        server.createContext("/login", exchange -> answer(exchange, 200));
        server.createContext("/api/json", exchange -> {
            String got = exchange.getRequestHeaders().getFirst("Authorization");
            answer(exchange, got == null ? 403 : got.equals(want) ? 200 : 401);
        });
        server.start();
        System.out.println("max memory " + Runtime.getRuntime().maxMemory() / (1 << 20) + " MiB");
    }
}
