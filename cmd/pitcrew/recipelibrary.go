// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/recipes"
)

func (c *cli) recipeListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the recipes to start from",
		Long: `List the recipes that pitcrew carries for you to start from. "pitcrew recipe new" writes
one of them.`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			var rows [][]string
			for _, name := range libraryNames() {
				r, _, err := fromLibrary(name)
				if err != nil {
					return err
				}
				rows = append(rows, []string{name, r.Description})
			}
			_, err := fmt.Fprint(c.out, tabular([]string{"NAME", "FOR"}, rows, c.width()))
			return err
		},
	}
}

func (c *cli) recipeNewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME [DIRECTORY]",
		Short: "Write a recipe to start from",
		Long: `Write a recipe of the library, with the files that it includes, for you to edit: what
stands first in it is yours to say. "pitcrew recipe list" says which there are.

They are written into the directory, or the current one. No file is overwritten: where the
recipe is there already nothing is written, and a part that is there already, as from another
recipe, stays as it is.`,
		Example: "  pitcrew recipe new generic-linux\n  pitcrew recipe new docker-host ci/recipes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return fmt.Errorf("want the name of a recipe and perhaps a directory, got %d arguments", len(args))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
			return libraryNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(libraryNames(), args[0]) {
				return usage("no recipe is called %q: want one of %s", args[0], strings.Join(libraryNames(), ", "))
			}
			return c.newRecipe(args[0], append(args, ".")[1])
		},
	}
}

// libraryNames are the names of the recipes that pitcrew carries, in order.
func libraryNames() []string {
	files, _ := fs.Glob(recipes.Files, "*.yaml") // the pattern is right
	for i, file := range files {
		files[i] = strings.TrimSuffix(file, ".yaml")
	}
	return files
}

// fromLibrary returns a recipe of the library and the paths of all files that it consists of, its own first.
func fromLibrary(name string) (*recipe.Recipe, []string, error) {
	all := []string{name + ".yaml"}
	data, err := recipes.Files.ReadFile(all[0])
	if err != nil {
		return nil, nil, err
	}
	r, err := recipe.Parse(all[0], data, func(path string) (recipe.File, error) {
		content, err := recipes.Files.ReadFile(path)
		if err == nil && !slices.Contains(all, path) {
			all = append(all, path)
		}
		return recipe.File{Path: path, Content: content}, err
	})
	return r, all, err
}

// newRecipe writes a recipe of the library and the files that it consists of into dir.
func (c *cli) newRecipe(name, dir string) error {
	_, files, err := fromLibrary(name)
	if err != nil {
		return err
	}
	if ext := filepath.Ext(dir); ext == ".yaml" || ext == ".yml" {
		return usage("%s is the name of a file: want the directory, %s; the recipe is written there as %s", dir, filepath.Dir(dir), files[0])
	}
	at := filepath.Join(dir, files[0])
	if _, err := os.Lstat(at); err == nil {
		return exit(exitUsage, fmt.Errorf("%s is there already; nothing is written", at))
	}
	slices.Reverse(files) // the recipe comes last: once it is there, it is whole
	for _, file := range files {
		if err := c.writeFromLibrary(file, filepath.Join(dir, filepath.FromSlash(file))); err != nil {
			return err
		}
	}
	for _, p := range recipe.Check(at) { // a part that stayed may not fit
		c.problem(p.String(), p.Excerpt)
	}
	fmt.Fprintf(c.err, "Edit what stands first in %s. Then: pitcrew recipe check %[1]s\n", at)
	return nil
}

// writeFromLibrary writes one file. One that is there already stays, with a remark if it is another.
func (c *cli) writeFromLibrary(file, to string) error {
	text, err := recipes.Files.ReadFile(file)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755) //nolint:gosec // recipes hold no secrets
	}
	if err == nil {
		err = writeNew(to, text)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		if there, err := os.ReadFile(to); err != nil || !bytes.Equal(there, text) {
			fmt.Fprintf(c.err, "%s is there already, and stays as it is.\n", to)
		}
		return nil
	case err != nil:
		return exit(exitUsage, fmt.Errorf("write recipe: %w", err))
	}
	fmt.Fprintf(c.err, "%s is written.\n", to)
	return nil
}
