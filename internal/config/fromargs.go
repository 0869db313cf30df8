package config

// FromArgs reads a process's command line (see Flags) and loads the
// configuration that it names into v. checkOnly says that the process is to
// check what it can without starting, and exit.
func FromArgs(args []string, v any) (checkOnly bool, err error) {
	path, checkOnly, err := Flags(args)
	if err != nil {
		return checkOnly, err
	}
	return checkOnly, Load(path, v)
}
