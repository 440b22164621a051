#!/bin/sh
# The tool python in Seatbelt: cells run, and reach no file, network or process; what uses too much ends.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"

. "$(dirname "$0")/../common.sh"

if [ "$(uname -s)" = Darwin ] && [ ! -x /usr/bin/sandbox-exec ]; then skip "there is no sandbox-exec"; fi
own_folder
SANDBOX_CANARY=canary-8b1f
export SANDBOX_CANARY
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' HUP INT TERM

"$PYTHON" - "$folder" >"$folder/said.txt" 2>&1 <<'END'
import asyncio, os, signal, socket, sys
from pathlib import Path

from mlxoss.hosted.python.interpreter import find_interpreter
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.process import WorkerRefused
from mlxoss.hosted.python.tool import Containers, make_root

home = Path(sys.argv[1])
secret = home / "secret"
secret.write_text(os.environ["SANDBOX_CANARY"])
server = socket.create_server(("127.0.0.1", 0))
server.setblocking(False)
unix = socket.socket(socket.AF_UNIX)
os.chdir(home)
unix.bind("s")
unix.listen()
unix.setblocking(False)
print("interpreter:", find_interpreter().program)

GIVEN = f"""
import ctypes, os, signal, socket, subprocess
secret, daemon, port, path = {str(secret)!r}, {os.getpid()}, {server.getsockname()[1]}, {str(home / "s")!r}
libc = ctypes.CDLL(None, use_errno=True)
own = os.path.dirname(os.path.abspath(os.curdir))
def variables(pid):
    mib, size, held = (ctypes.c_int * 3)(1, 49, pid), ctypes.c_size_t(1 << 20), ctypes.create_string_buffer(1 << 20)
    if libc.sysctl(mib, 3, held, ctypes.byref(size), None, ctypes.c_size_t(0)) or b"SANDBOX" not in held.raw:
        raise PermissionError
def told(pid):
    if ctypes.CDLL("/usr/lib/libproc.dylib").proc_pidinfo(pid, 4, ctypes.c_uint64(0), ctypes.create_string_buffer(96), 96) <= 0:
        raise PermissionError
def control(command, path, flags=os.O_RDONLY):
    ctypes.set_errno(0)
    libc.fcntl(ctypes.c_int(os.open(path, flags)), ctypes.c_int(command), ctypes.c_long(0))
    if ctypes.get_errno() == 1:
        raise PermissionError
def connect(family, address):
    with socket.socket(family) as tried:
        tried.settimeout(3)
        tried.connect(address)
        tried.send(b"x")
"""
ATTACKS = [
    "open(secret).read()", "open(secret, 'w')", "os.listdir(os.path.dirname(secret))",
    "os.listdir('/Users' if os.path.exists('/Users') else '/home')", "open('/etc/passwd').read()",
    "os.truncate(secret, 0)", "os.unlink(secret)", "os.rename(secret, '/mnt/data/x')",
    "os.link(secret, '/mnt/data/l')", "(os.symlink(secret, '/mnt/data/y'), open('/mnt/data/y').read())",
    "open(os.path.dirname(secret) + '/made', 'w')", "open('/tmp/mlxoss-made', 'w')",
    "open(os.__file__, 'a')", "connect(socket.AF_INET, ('127.0.0.1', port))",
    "connect(socket.AF_INET, ('1.1.1.1', 80))", "connect(socket.AF_UNIX, path)",
    "socket.create_server(('127.0.0.1', 0))", "socket.getaddrinfo('example.org', 80)[0][4]",
    "os.fork()", "subprocess.run(['/bin/sh', '-c', 'true'])", "os.posix_spawn('/bin/sh', ['sh'], {})",
    "os.execv('/bin/sh', ['sh', '-c', 'true'])", "os.kill(daemon, 0)", "os.kill(daemon, signal.SIGTERM)",
    "libc.ptrace(10, daemon, 0, 0) == 0 or 1 / 0", "os.setpriority(os.PRIO_PROCESS, daemon, 19)",
    "__import__('multiprocessing').Process(target=print).start()",
    "variables(daemon)", "told(daemon)", "control(80, os.__file__)", "control(110, os.__file__)",
    "control(42, '/mnt/data/p', os.O_CREAT | os.O_RDWR)", "os.rename(own, own + '.away')",
    "(__import__('shutil').rmtree(own), os.symlink(os.path.dirname(secret), own))",
]
WORKS = [
    ("2**100", "1267650600228229401496703205376"), ("x = 41", ""), ("x + 1", "42"),
    ("open('/mnt/data/a', 'w').write('hello'), open('/mnt/data/a').read()", "(5, 'hello')"),
    ("import ssl, sqlite3, lzma, decimal, hashlib, ctypes, socket; 3", "3"),
    ("import asyncio\nasync def f(): return 4\nasyncio.run(f())", "4"),
    ("import threading\nt = threading.Thread(target=print, args=(5,))\nt.start(); t.join()", "5"),
    ("import tempfile; print(tempfile.gettempdir())", "/tmp"),
    ("import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin').key", "'Europe/Berlin'"),
    ("import os; sorted(set(os.environ) & {'SANDBOX_CANARY', 'USER', 'PATH', 'SSH_AUTH_SOCK'})", "[]"),
]
ENDS = [
    ("while True: pass", "longer than"),
    ("h = []\nwhile True: h.append(bytearray(b'x') * (1 << 20))", "MB of memory"),
    ("for n in range(200): open(f'/mnt/data/{n}', 'wb').write(b'x' * (1 << 20))", "its files took"),
    ("import threading\nfor _ in range(200): threading.Thread(target=threading.Event().wait, daemon=True).start()", "threads"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
]


async def main():
    wrong = []
    limits = Limits(cell_s=20.0, memory=400 << 20)
    tool = Containers(make_root(home), None, limits)
    try:
        tool.try_out()
    except WorkerRefused as error:
        print("WRONG: no sandbox can be set up:", error)
        return 1
    for code, wanted in WORKS:
        outcome = await tool.run("a", code)
        if outcome.logs != wanted:
            wrong.append(f"{code!r} says {outcome.text!r}")
    for attack in ATTACKS:
        code = f"{GIVEN}\ntry:\n    {attack}\n    print('REACHED')\nexcept BaseException as e:\n    print('refused')"
        outcome = await tool.run("a", code)
        if "refused" not in outcome.text or "REACHED" in outcome.text:
            wrong.append(f"{attack} says {outcome.text!r}")
    for code, why in ENDS:
        outcome = await tool.run("b", code)
        if not outcome.is_failed or why not in outcome.text:
            wrong.append(f"{code!r} says {outcome.text!r}")
    pid = int((await tool.run("a", "import os; os.getpid()")).logs)
    task = asyncio.ensure_future(tool.run("a", "while True: pass"))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    try:
        os.kill(pid, 0)
        wrong.append("a cancelled cell's process lives")
    except ProcessLookupError:
        pass
    await tool.close()
    for listening in server, unix:
        try:
            listening.accept()
            wrong.append("something was connected to")
        except BlockingIOError:
            pass
    if secret.read_text() != os.environ["SANDBOX_CANARY"] or (home / "made").exists():
        wrong.append("a file outside was changed")
    for each in wrong:
        print("WRONG:", each)
    print(f"{len(WORKS)} cells that work, {len(ATTACKS)} attacks, {len(ENDS)} that use too much")
    return bool(wrong)


sys.exit(asyncio.run(main()))
END
ended=$?
cat "$folder/said.txt"
[ "$ended" = 0 ] || wrong "the sandbox is not what it should be"

"$MLXOSS" tools enable python >"$folder/enabled.txt" 2>&1 || {
    grep -q "pip failed" "$folder/enabled.txt" && skip "the packages cannot be had: $(tail -n 1 "$folder/enabled.txt")"
    wrong "mlxoss tools enable python: $(tail -n 3 "$folder/enabled.txt")"
}
"$MLXOSS" tools
"$MLXOSS" tools | grep -q '^python  *on ' || wrong "the tool is not on"
"$MLXOSS" tools disable python >/dev/null || wrong "the tool cannot be disabled"
right "the tool python runs in its sandbox"
