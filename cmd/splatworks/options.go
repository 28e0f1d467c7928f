package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/pipeline"
)

// wishes are the options of a request, as flags: one for each row of pipeline.OptionTable.
type wishes struct {
	Flags kong.Plugins `embed:""` // of newWishes: one pointer to a struct with a field for each row, in their order
}

// newWishes makes the flags, which kong wants as fields of a struct with tags.
func newWishes() wishes {
	var fields []reflect.StructField
	for i, row := range pipeline.OptionTable() {
		field := reflect.StructField{Name: "Option" + strconv.Itoa(i), Type: flagType(row)}
		tag := fmt.Sprintf("name:%q help:%q", flagName(row), flagHelp(row))
		switch {
		case row.Default != nil && field.Type.Kind() != reflect.Int:
			tag += fmt.Sprintf(" default:%q", strings.Join(texts(row.Default), ","))
		case field.Type == reflect.TypeFor[time.Duration]():
			tag += ` placeholder:"60s"`
		case row.Default != nil:
			tag += fmt.Sprintf(" placeholder:%q", fmt.Sprint(row.Default))
		case field.Type.Kind() != reflect.Bool:
			tag += ` placeholder:"N"`
		}
		if field.Type.Kind() == reflect.String && row.Values != nil {
			tag += fmt.Sprintf(" enum:%q", strings.Join(row.Values, ","))
		}
		field.Tag = reflect.StructTag(tag)
		fields = append(fields, field)
	}
	return wishes{Flags: kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}}
}

// flagType is the option's own type, but a duration for seconds.
func flagType(row pipeline.Option) reflect.Type {
	if strings.HasSuffix(row.Name, "_s") {
		return reflect.TypeFor[time.Duration]()
	}
	return reflect.TypeOf(row.Field(new(pipeline.Options))).Elem()
}

// flagName is the option's name without its unit, with dashes.
func flagName(row pipeline.Option) string {
	name := strings.TrimSuffix(strings.TrimSuffix(row.Name, "_px"), "_s")
	return strings.ReplaceAll(name, "_", "-")
}

// flagHelp is the option's sentence with what only the command line has.
func flagHelp(row pipeline.Option) string {
	switch _, list := row.Default.([]string); {
	case row.Name == "preset":
		return strings.TrimSuffix(row.Sentence, ".") + ": " + presets() + "."
	case list:
		return fmt.Sprintf("%s Of %s; none is the empty list.", row.Sentence, strings.Join(row.Values, ", "))
	}
	return row.Sentence
}

// texts are the words of a default.
func texts(v any) []string {
	if list, ok := v.([]string); ok {
		return list
	}
	return []string{fmt.Sprint(v)}
}

// presets says in one line what each preset is.
func presets() string {
	var list []string
	for _, p := range []pipeline.Preset{pipeline.Preview, pipeline.Standard, pipeline.High} {
		cfg, err := trainer.Defaults(trainer.Preset(p))
		if err != nil {
			panic(err) // the trainer and the pipeline have the same presets
		}
		list = append(list, fmt.Sprintf("%s (%d pixels, %.0f s of training)", p, pipeline.Options{Preset: p}.WithDefaults().LongEdgePx, cfg.Budget.Seconds()))
	}
	return strings.Join(list, ", ")
}

// options are what the flags ask for.
func (w wishes) options() (pipeline.Options, error) {
	var o pipeline.Options
	flags := reflect.ValueOf(w.Flags[0]).Elem()
	for i, row := range pipeline.OptionTable() {
		switch field := row.Field(&o).(type) {
		case *float64:
			*field = flags.Field(i).Interface().(time.Duration).Seconds()
		case *[]string:
			if *field = flags.Field(i).Interface().([]string); len(*field) == 1 && (*field)[0] == "none" {
				*field = []string{}
			}
		default:
			reflect.ValueOf(field).Elem().Set(flags.Field(i))
		}
	}
	if err := o.Validate(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

// args are the flags that ask for the same options.
func (w wishes) args() (args []string, err error) {
	o, err := w.options()
	if err != nil {
		return nil, err
	}
	for _, row := range pipeline.OptionTable() {
		value := reflect.ValueOf(row.Field(&o)).Elem()
		list, isList := value.Interface().([]string)
		switch {
		case isList && list != nil && len(list) == 0:
			args = append(args, "--"+flagName(row)+"=none")
		case isList && list != nil:
			args = append(args, "--"+flagName(row)+"="+strings.Join(list, ","))
		case isList || value.IsZero():
		case flagType(row) == reflect.TypeFor[time.Duration]():
			args = append(args, "--"+flagName(row)+"="+time.Duration(value.Float()*float64(time.Second)).String())
		default:
			args = append(args, fmt.Sprintf("--%s=%v", flagName(row), value.Interface()))
		}
	}
	return args, nil
}
