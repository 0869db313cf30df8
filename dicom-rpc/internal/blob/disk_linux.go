package blob

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// syncFileRangeWrite is SYNC_FILE_RANGE_WRITE of sync_file_range(2).
const syncFileRangeWrite = 2

// beginWriteback tells the disk to begin with a part of the file, without
// waiting for it. It promises nothing: Sync does.
func beginWriteback(f *os.File, off, n int64) error {
	err := syscall.SyncFileRange(int(f.Fd()), off, n, syncFileRangeWrite)
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) {
		return nil // Not every file system or sandbox has it.
	}
	return err
}

// freeBytes gives what an unprivileged process may still write to the disk that
// the file lies on.
func freeBytes(f *os.File) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// changed is when the file's bytes or names changed last.
func changed(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Sec, st.Ctim.Nsec)
	}
	return info.ModTime()
}
