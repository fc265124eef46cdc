"""`windlass webhooks` and `windlass alerts`, as a person uses them."""

from tests.cli.terminal import Shell


def test_webhooks_from_the_shell(shell: Shell) -> None:
    made = shell.ok("webhooks", "add", "https://shop.example/hooks", "-e", "job.failed", "-q", "mail*")
    secret = made.out.strip()
    assert secret.startswith("whsec_") and "shown this once" in made.err
    (id,) = shell.ok("webhooks", "ls", "-o", "ids").lines
    listed = shell.ok("webhooks", "ls")
    assert id in listed.out and "job.failed" in listed.out and secret not in listed.out
    assert secret not in shell.ok("webhooks", "ls", "-o", "json").out
    delivery = shell.ok("webhooks", "test", id).out.strip()
    (item,) = shell.ok("webhooks", "deliveries", id, "-o", "json").json["items"]
    assert (item["id"], item["event"], item["state"]) == (delivery, "ping", "waiting")
    assert shell.ok("webhooks", "replay", id, "-o", "json").json == {"count": 0, "refused": {}}
    shell.ok("webhooks", "rm", id)
    gone = shell.run("webhooks", "test", id)
    assert gone.code == 4 and "webhook-not-found" in gone.err
    for words in (("add", "http://10.0.0.1/"), ("add", "https://x.example/", "-e", "job.exploded")):
        assert shell.run("webhooks", *words).code == 2


def test_alerts_from_the_shell(shell: Shell) -> None:
    made = shell.ok("alerts", "channel", "ops", "email", "--to", "ops@example.com")
    lacks = "ops cannot work by the settings here: the setting smtp_url is not set"
    assert made.out == "ops: email\n" and lacks in made.err and "WINDLASS_SMTP_URL=" in made.err
    tried = shell.ok("alerts", "try", "ops")
    assert lacks in tried.err and f"windlass jobs show {tried.out.strip()}" in tried.err
    found = {each["code"]: each for each in shell.run("doctor", "-o", "json").json["findings"]}
    assert "alert channel ops cannot work" in found["alert-channel"]["text"]
    assert "WINDLASS_SMTP_URL" in found["alert-channel"]["mend"]
    for url, lacking in (("smtp://127.0.0.1:25", False), ("mail.example", True), ("smtp://h:port", True)):
        told = shell.ok("alerts", "try", "ops", WINDLASS_SMTP_URL=url).err
        assert ("cannot work" in told) is lacking, told
        found = shell.run("doctor", "-o", "json", WINDLASS_SMTP_URL=url).json["findings"]
        assert ("alert-channel" in [each["code"] for each in found]) is lacking
    assert "cannot work" not in shell.ok("alerts", "try", "log").err
    assert "nothing fires" in shell.ok("alerts", "ls").err
    assert "ops@example.com" in shell.ok("alerts", "channels").out
    assert len(shell.ok("alerts", "standard", "--channel", "ops", "-o", "ids").lines) == 7
    shell.ok("alerts", "set", "late", "queue-age", "--threshold", "60", "-q", "mail", "--channel", "log")
    (rule,) = [each for each in shell.ok("alerts", "rules", "-o", "json").json["items"] if each["name"] == "late"]
    assert (rule["threshold"], rule["queues"], rule["channels"]) == (60.0, ["mail"], ["log"])
    shell.ok("alerts", "unset", "late")
    assert shell.run("alerts", "unset", "late").code == 4
    assert shell.run("alerts", "set", "x", "weather").code == 2
    assert shell.run("alerts", "set", "x", "health", "--channel", "nowhere").code == 2
    assert shell.run("alerts", "try", "nowhere").code == 4
    assert shell.ok("alerts", "history", "-o", "json").json["items"] == []
