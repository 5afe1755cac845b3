// SPDX-License-Identifier: Apache-2.0

// Command clock runs a program, with all that it starts, by a clock of its own: that of the machine and so many nanoseconds as a file says,
// which may be written at any time. A machine has but one clock of the day, and no namespace for it (time_namespaces(7) has those that
// cannot be set), so that this traces the processes, hides from each the kernel's code that tells the time without a call of the system
// (vdso(7)), and answers the calls that are left. What the kernel itself stamps, as files, has the machine's time.
//
//	clock FILE PROGRAM [ARGUMENT...]
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// become makes this process the program, with its calls filtered: the argument of a second start.
const become = "become"

// Main stays on the first thread, which is what init is needed for: whoever traces is a thread, and a program that becomes another keeps but
// the filter of the one that calls for it.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) < 3 {
		fail(errors.New("usage: clock FILE PROGRAM [ARGUMENT...]"))
	}
	if os.Args[1] == become {
		fail(filtered(os.Args[2:]))
	}
	t, err := start(os.Args[1], os.Args[2:])
	if err != nil {
		fail(err)
	}
	code, err := t.run()
	if err != nil {
		fail(err)
	}
	os.Exit(code)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "clock:", err)
	os.Exit(125)
}

// filtered has the tracer asked for the time from now on, and becomes the program.
func filtered(command []string) error {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	const (
		number, arch, clock = 0, 4, 16 // in struct seccomp_data
		load                = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal               = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer              = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: load, K: arch},
		{Code: equal, K: unix.AUDIT_ARCH_X86_64, Jf: 8},
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_GETTIMEOFDAY, Jt: 5},
		{Code: equal, K: unix.SYS_TIME, Jt: 4},
		{Code: equal, K: unix.SYS_CLOCK_GETTIME, Jf: 4},
		{Code: load, K: clock},
		{Code: equal, K: unix.CLOCK_REALTIME, Jt: 1},
		{Code: equal, K: unix.CLOCK_REALTIME_COARSE, Jf: 1},
		{Code: answer, K: unix.SECCOMP_RET_TRACE},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
	if os.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER,
		uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})), 0, 0); err != nil {
		return fmt.Errorf("filter calls: %w", err)
	}
	return syscall.Exec(program, command, os.Environ())
}

// tracer follows a program, and all that comes of it.
type tracer struct {
	ahead *os.File     // how many nanoseconds their clock is ahead of the machine's, as eight bytes
	first int          // the process that it started
	known map[int]bool // processes and threads that have run
}

// start starts a program, which ends with us.
func start(file string, command []string) (*tracer, error) {
	ahead, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, append([]string{become}, command...)...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		return nil, err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(c.Process.Pid, &status, 0, nil); err != nil {
		return nil, fmt.Errorf("wait for the start: %w", err)
	}
	if err := unix.PtraceSetOptions(c.Process.Pid, unix.PTRACE_O_TRACESECCOMP|unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_TRACECLONE|
		unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK|unix.PTRACE_O_EXITKILL); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if err := unix.PtraceCont(c.Process.Pid, 0); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGTERM, unix.SIGINT)
	go func() {
		for s := range told {
			_ = c.Process.Signal(s)
		}
	}()
	return &tracer{ahead: ahead, first: c.Process.Pid, known: map[int]bool{c.Process.Pid: true}}, nil
}

// run lets them go on until none is left, and returns how the first one has ended.
func (t *tracer) run() (code int, err error) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return code, nil
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case !status.Stopped():
			if pid == t.first {
				code = status.ExitStatus()
				if status.Signaled() {
					code = 128 + int(status.Signal())
				}
			}
			delete(t.known, pid)
			continue
		}
		// One that was killed meanwhile is not there.
		if err := t.goOn(pid, status); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, err
		}
	}
}

// goOn lets a process or thread that has stopped go on.
func (t *tracer) goOn(pid int, status unix.WaitStatus) error {
	deliver := status.StopSignal()
	var err error
	switch event := int(status) >> 16; {
	case event == unix.PTRACE_EVENT_SECCOMP:
		deliver, err = 0, t.tell(pid)
	case event == unix.PTRACE_EVENT_EXEC:
		deliver, err = 0, hide(pid)
	case event != 0:
		deliver = 0
	case !t.known[pid] && deliver == unix.SIGSTOP: // so begins what a traced one starts
		deliver = 0
	}
	t.known[pid] = true
	if err != nil {
		return err
	}
	return unix.PtraceCont(pid, int(deliver))
}

// tell answers what time it is.
func (t *tracer) tell(pid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	var ahead [8]byte
	if _, err := t.ahead.ReadAt(ahead[:], 0); err != nil {
		return fmt.Errorf("how far the clock is ahead: %w", err)
	}
	now := time.Now().Add(time.Duration(binary.NativeEndian.Uint64(ahead[:])))
	seconds, part, at := uint64(now.Unix()), uint64(now.Nanosecond()), regs.Rsi
	result := uint64(0)
	switch regs.Orig_rax {
	case unix.SYS_GETTIMEOFDAY:
		part, at = part/1000, regs.Rdi
	case unix.SYS_TIME:
		result, at = seconds, 0
		if regs.Rdi != 0 {
			var word [8]byte
			binary.NativeEndian.PutUint64(word[:], seconds)
			if _, err := unix.PtracePokeData(pid, uintptr(regs.Rdi), word[:]); err != nil {
				return err
			}
		}
	}
	if at != 0 {
		var words [16]byte
		binary.NativeEndian.PutUint64(words[:], seconds)
		binary.NativeEndian.PutUint64(words[8:], part)
		if _, err := unix.PtracePokeData(pid, uintptr(at), words[:]); err != nil {
			return err
		}
	}
	regs.Orig_rax, regs.Rax = ^uint64(0), result // the call itself is left out
	return unix.PtraceSetRegs(pid, &regs)
}

// hide has a process that has just become a program not know of the vdso: behind arguments and environment the kernel hands it pairs of
// numbers, of which one says where that is (getauxval(3)).
func hide(pid int) error {
	const vdso, ignore = 33, 1 // AT_SYSINFO_EHDR, AT_IGNORE
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	at := uintptr(regs.Rsp)
	next := func() (uint64, error) {
		var word [8]byte
		_, err := unix.PtracePeekData(pid, at, word[:])
		at += 8
		return binary.NativeEndian.Uint64(word[:]), err
	}
	count, err := next()
	if err != nil {
		return err
	}
	at += uintptr(count+1) * 8
	for word := uint64(1); word != 0; {
		if word, err = next(); err != nil {
			return err
		}
	}
	for {
		kind, err := next()
		if err != nil || kind == 0 {
			return err
		}
		if kind == vdso {
			var word [8]byte
			binary.NativeEndian.PutUint64(word[:], ignore)
			_, err = unix.PtracePokeData(pid, at-8, word[:])
			return err
		}
		at += 8
	}
}
