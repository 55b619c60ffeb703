/* The worker of the benchmarks: it stamps its own start, the stop signal and its end into a file shared by all, so that
   no measuring is done by the one who is measured. stamps.py has the layout of that file.

   worker STAMPS slot=N [stop=SECONDS] [exit=CODE] [chat=MICROSECONDS,BYTES] [burst=LINES,BYTES]

   stop: seconds from TERM to its end. exit: leave at once with that code. chat: a numbered line every so often, until
   told to be quiet. burst: wait until told to go, then that many lines as fast as stdout takes them. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CAPACITY = 1 << 17, START = 1, TERM = 2, END = 3, DONE = 4 };

struct stamp { uint64_t ns; uint32_t pid, kind, slot, spare; uint64_t lines; };
struct stamps { uint64_t count, quiet, go, spare[5]; struct stamp at[CAPACITY]; };

static struct stamps *stamps;
static struct stamp *own;
static uint32_t slot;
static double stop_seconds = -1;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct stamp *put(uint64_t ns, uint32_t kind) {
    uint64_t i = __atomic_fetch_add(&stamps->count, 1, __ATOMIC_SEQ_CST);
    if (i >= CAPACITY) _exit(70);
    struct stamp *s = &stamps->at[i];
    s->pid = getpid(), s->kind = kind, s->slot = slot;
    __atomic_store_n(&s->ns, ns, __ATOMIC_SEQ_CST); /* last: a stamp without a time is not there yet */
    return s;
}

static void rest(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static void on_term(int number) {
    (void)number;
    put(now(), TERM);
    rest(stop_seconds);
    put(now(), END);
    _exit(0);
}

static void say(long lines, int bytes) { /* in as few writes as stay whole in a pipe: 4096 bytes */
    char text[8192];
    int size = 0;
    for (long i = 0; i < lines; i++) {
        int n = snprintf(text + size, 64, "%d %llu ", (int)getpid(), (unsigned long long)++own->lines);
        if (n < bytes - 1) memset(text + size + n, 'x', bytes - 1 - n), n = bytes - 1;
        text[size + n] = '\n';
        size += n + 1;
        if (i < lines - 1 && size + bytes <= 4096) continue;
        for (int done = 0; done < size;) {
            ssize_t k = write(1, text + done, size - done);
            if (k < 0) break; /* nobody reads any more: go on as PHP does, in silence */
            done += k;
        }
        size = 0;
    }
}

int main(int argc, char **argv) {
    uint64_t began = now();
    long every = 0, lines = 0;
    int bytes = 0, code = -1, fd;
    if (argc < 2 || (fd = open(argv[1], O_RDWR | O_CLOEXEC)) < 0) return 66;
    stamps = mmap(NULL, sizeof *stamps, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (stamps == MAP_FAILED) return 71;
    for (int i = 2; i < argc; i++) {
        if (sscanf(argv[i], "slot=%u", &slot) == 1) continue;
        if (sscanf(argv[i], "stop=%lf", &stop_seconds) == 1) continue;
        if (sscanf(argv[i], "exit=%d", &code) == 1) continue;
        if (sscanf(argv[i], "chat=%ld,%d", &every, &bytes) == 2) continue;
        if (sscanf(argv[i], "burst=%ld,%d", &lines, &bytes) == 2) continue;
        return 64;
    }
    if (bytes > 4096) return 64;
    signal(SIGPIPE, SIG_IGN);
    if (stop_seconds >= 0) signal(SIGTERM, on_term);
    own = put(began, START);
    if (code >= 0) return code;
    while (every && !stamps->quiet) say(1, bytes), rest(every / 1e6);
    if (lines) {
        while (!__atomic_load_n(&stamps->go, __ATOMIC_SEQ_CST)) rest(0.001);
        say(lines, bytes);
        put(now(), DONE);
    }
    for (;;) pause();
}
