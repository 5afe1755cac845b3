# SPDX-License-Identifier: Apache-2.0
"""Uses a controller the way scripts with python-jenkins do.

Usage: python_jenkins.py URL USER SECRET AGENT NAME

Everything that it makes has a name that begins with NAME, and is gone at the end.

Exits with a traceback at the first thing that is not as on a real controller.
"""
import sys
import time

import jenkins
import requests

JOB = """<?xml version='1.1' encoding='UTF-8'?>
<project>
  <description>%s</description>
  <keepDependencies>false</keepDependencies>
  <properties>
    <hudson.model.ParametersDefinitionProperty><parameterDefinitions>
      <hudson.model.StringParameterDefinition><name>WORD</name><defaultValue>none</defaultValue><trim>false</trim></hudson.model.StringParameterDefinition>
    </parameterDefinitions></hudson.model.ParametersDefinitionProperty>
  </properties>
  <scm class="hudson.scm.NullSCM"/>
  <quietPeriod>0</quietPeriod>
  <assignedNode>%s</assignedNode>
  <canRoam>false</canRoam>
  <disabled>false</disabled>
  <triggers/>
  <concurrentBuild>false</concurrentBuild>
  <builders><hudson.tasks.Shell><command>%s</command></hudson.tasks.Shell></builders>
  <publishers/>
  <buildWrappers/>
</project>
"""


def job_exists(server, name):
    return bool(server.job_exists(name))  # None stands for no


def check(what, got, want):
    if got != want:
        raise AssertionError("%s: got %r, want %r" % (what, got, want))


def expect_error(what, kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError("%s: no %s" % (what, kind.__name__))


def wait(what, look, limit=60):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("%s: waited %d s" % (what, limit))


def build(server, name, parameters):
    """Starts a build and returns its record once it has ended."""
    item = server.build_job(name, parameters)
    entry = wait("start", lambda: server.get_queue_item(item).get("executable"))
    info = wait("end", lambda: ended(server.get_build_info(name, entry["number"])))
    check("queueId", info["queueId"], item)
    return info


def ended(info):
    return None if info["building"] else info


def use_jobs(server, agent, job):
    check("job before", job_exists(server, job), False)
    server.create_job(job, JOB % ("first", agent, 'echo "word $WORD"'))
    check("job after", job_exists(server, job), True)
    expect_error("second of the name", jenkins.JenkinsException,
                 lambda: server.create_job(job, JOB % ("x", agent, "true")))
    info = build(server, job, {"WORD": "hello"})
    check("result", info["result"], "SUCCESS")
    check("builtOn", info["builtOn"], agent)
    if "word hello\n" not in server.get_build_console_output(job, info["number"]):
        raise AssertionError("console lacks the word")

    server.reconfig_job(job, JOB % ("second", agent, "exit 3"))
    if "<description>second</description>" not in server.get_job_config(job):
        raise AssertionError("configuration was not replaced")
    check("result", build(server, job, {"WORD": "x"})["result"], "FAILURE")
    check("lastBuild", server.get_job_info(job)["lastBuild"]["number"], 2)
    check("builds", [b["number"] for b in server.get_job_info(job)["builds"]], [2, 1])
    if job not in [j["name"] for j in server.get_jobs()]:
        raise AssertionError("job is not listed")
    check("fullname", [j["fullname"] for j in server.get_all_jobs() if j["name"] == job], [job])
    server.copy_job(job, job + "-copy")
    check("copy", job_exists(server, job + "-copy"), True)
    server.delete_job(job + "-copy")


def use_queue(server, agent, job):
    server.disable_job(job)
    check("color", server.get_job_info(job)["color"], "disabled")
    expect_error("build of a disabled job", requests.HTTPError, lambda: server.build_job(job, {"WORD": "x"}))
    server.enable_job(job)

    server.reconfig_job(job, JOB % ("waits", "no-such-label", "true"))
    item = server.build_job(job, {"WORD": "waits"})
    wait("queued", lambda: [i for i in server.get_queue_info() if i["id"] == item and i.get("buildable")])
    # This version of the client takes the 204, which has no body, for an error.
    expect_error("answer to cancelling", jenkins.EmptyResponseException, lambda: server.cancel_queue(item))
    check("cancelled", server.get_queue_item(item).get("cancelled"), True)

    server.reconfig_job(job, JOB % ("runs", agent, "sleep 60"))
    item = server.build_job(job, {"WORD": "stop me"})
    number = wait("start", lambda: server.get_queue_item(item).get("executable"))["number"]
    # Not get_running_builds: this version asks for the built-in node by its displayed name.
    executors = server.get_node_info(agent, depth=2)["executors"]
    check("running", [e["currentExecutable"]["number"] for e in executors if e["currentExecutable"]], [number])
    server.stop_build(job, number)
    check("stopped", wait("end", lambda: ended(server.get_build_info(job, number)))["result"], "ABORTED")
    server.delete_job(job)
    check("job after deletion", job_exists(server, job), False)
    expect_error("deleted job", jenkins.JenkinsException, lambda: server.get_job_info(job))


def use_marks(server, agent):
    """On a connected agent: the client leaves alone what is offline already."""
    server.disable_node(agent, "cleaning the fan")
    info = server.get_node_info(agent)
    check("reason", info["offlineCauseReason"], "cleaning the fan")
    check("offline and temporarilyOffline", (info["offline"], info["temporarilyOffline"]), (True, True))
    server.enable_node(agent)
    info = server.get_node_info(agent)
    check("offline and temporarilyOffline", (info["offline"], info["temporarilyOffline"]), (False, False))


def use_nodes(server, stem):
    name = stem + " node (rack 3)"
    check("node before", bool(server.node_exists(name)), False)
    server.create_node(name, numExecutors=2, nodeDescription="made by python", remoteFS="/srv/pj", labels="one two",
                       exclusive=True, launcher=jenkins.LAUNCHER_JNLP)
    info = server.get_node_info(name)
    check("displayName", info["displayName"], name)
    check("numExecutors", info["numExecutors"], 2)
    check("offline", info["offline"], True)
    check("labels", sorted(label["name"] for label in info["assignedLabels"]), sorted(["one", "two", name]))
    expect_error("second of the name", jenkins.JenkinsException, lambda: server.create_node(name))

    config = server.get_node_config(name)
    if "<label>one two</label>" not in config:
        raise AssertionError("no label in " + config)
    server.reconfig_node(name, config.replace("one two", "three"))
    check("labels", sorted(label["name"] for label in server.get_node_info(name)["assignedLabels"]), sorted(["three", name]))
    if name not in [n["name"] for n in server.get_nodes()]:
        raise AssertionError("node is not listed")
    server.delete_node(name)
    check("node after deletion", bool(server.node_exists(name)), False)
    expect_error("deleted node", jenkins.JenkinsException, lambda: server.get_node_info(name))


def main():
    url, user, secret, agent, name = sys.argv[1:]
    server = jenkins.Jenkins(url, username=user, password=secret, timeout=30)
    check("user", server.get_whoami()["id"].lower(), user.lower())
    if not server.get_version().startswith("2."):
        raise AssertionError("version is " + server.get_version())
    use_jobs(server, agent, name)
    use_queue(server, agent, name)
    use_marks(server, agent)
    use_nodes(server, name)
    check("our items", [i for i in server.get_queue_info() if i["task"].get("name", "").startswith(name)], [])
    print("all right")


if __name__ == "__main__":
    main()
